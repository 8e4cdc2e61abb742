/**
 * The process around a service: arguments, settings, logger, metrics, admin server, signals, exit code. The only place
 * that ends the process.
 *
 * Exit codes: 0 after a clean stop, 1 when something had to be abandoned or could not start, 70 after an error that
 * nobody caught, 78 when the settings or the arguments are wrong, 128 + signal when a second signal ends it at once.
 */
import { systemClock, type Clock } from '../foundation/clock.ts';
import { describeError, errorCode, HydrantError, toError } from '../foundation/errors.ts';
import { makeTerminalSafe } from '../foundation/visible-text.ts';
import { createAdminServer, type AdminRoutes } from './admin/admin-server.ts';
import type { HealthCheck } from './admin/health.ts';
import { readArguments, type Arguments, type SettingOption } from './arguments.ts';
import type { Component } from './component.ts';
import type { commonSettings } from './config/common-settings.ts';
import { formatCommandHelp, formatHelp, type CommandHelp } from './config/help.ts';
import { readConfig, readConfigFile, type ConfigInput, type Environment } from './config/load-config.ts';
import { formatConfig } from './config/print-config.ts';
import type { Schema, Values } from './config/setting.ts';
import { createLifecycle } from './lifecycle.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';

export interface ServiceContext {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly env: Environment;
}

export interface ServiceParts {
  /** In the order of starting; stopped in reverse. */
  readonly components: readonly Component[];
  readonly healthChecks: readonly HealthCheck[];
  /** What the admin server answers beside its own. */
  readonly routes?: readonly AdminRoutes[];
}

/** Reads a setting as the environment or CONFIG_FILE has it, for a schema that depends on it. */
export type Lookup = (name: string) => string | undefined;

export interface CommandContext extends ServiceContext {
  /** What stands behind the command's name. */
  readonly args: readonly string[];
  /** Aborts at SIGTERM, SIGINT and SIGHUP. */
  readonly signal: AbortSignal;
}

/** Something that is done once, with the settings of the service and in its place: `hydrant-sink-worker <name>`. */
export interface Command<S extends Schema> {
  readonly name: string;
  /** One line for `--help`. */
  readonly doc: string;
  /** Its options, in lines, for `<name> --help`. */
  readonly help?: string;
  /**
   * False: it does without settings that the service requires, such as those of a sink that is gone; `config` then
   * holds null for them. Default true.
   */
  readonly requiresSettings?: boolean;
  /**
   * Closes what it opens. When it rejects, the process ends with 1, or with 78 for `arguments-invalid` and
   * `config-invalid`.
   */
  run(config: Values<S>, context: CommandContext): Promise<void>;
}

/** `withoutSecrets`: where the settings are only checked, and the secrets are not there. */
export interface LoadMode {
  readonly withoutSecrets: boolean;
}

export interface Service<S extends Schema> {
  /** As in logs and metrics, such as `hydrant-firehose`. */
  readonly name: string;
  readonly version: string;
  /** Holds at least `commonSettings`. */
  readonly schema: S | ((lookup: Lookup, env: Environment) => S);
  /** Problems that the schema alone cannot find, and keys of CONFIG_FILE that the service reads itself. */
  readonly input?: (env: Environment, lookup: Lookup, mode: LoadMode) => Omit<ConfigInput, 'env'>;
  /** For settings that are no variables, such as tables of CONFIG_FILE; undefined: as any other service. */
  readonly printConfig?: (loaded: LoadedService<S>, env: Environment) => string | undefined;
  /** Pure: makes the parts, connects nothing. A HydrantError `config-invalid` counts as a problem of the settings. */
  create(config: Values<S>, context: ServiceContext): ServiceParts | Promise<ServiceParts>;
  readonly commands?: readonly Command<S>[];
  /** Options of its own, each for a setting; they come before the environment. Default: `--config` for CONFIG_FILE. */
  readonly options?: readonly (SettingOption & CommandHelp)[];
}

type CommonValues = Values<ReturnType<typeof commonSettings>>;

const exitCodes = { clean: 0, failed: 1, uncaught: 70, config: 78 } as const;
/** n.b. there is nothing to reload, so a SIGHUP ends the process as well as SIGTERM does. */
const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const configOption = {
  name: 'config',
  setting: 'CONFIG_FILE',
  doc: 'The TOML or JSON file with settings, as `CONFIG_FILE`.',
} as const;

function makeLookup(env: Environment): Lookup {
  const file = env['CONFIG_FILE'];
  let table: Readonly<Record<string, unknown>> = {};
  try {
    if (file !== undefined && file !== '') table = readConfigFile(file);
  } catch {
    // n.b. `loadConfig` reads it again and reports the problem with all others.
  }
  const upper = new Map(Object.entries(table).map(([key, value]) => [key.toUpperCase(), value]));
  return (name) => {
    const text = env[name];
    if (text !== undefined && text !== '') return text;
    const value = upper.get(name);
    return typeof value === 'string' ? value : undefined;
  };
}

function findSchema<S extends Schema>({ schema }: Pick<Service<S>, 'schema'>, env: Environment, lookup: Lookup): S {
  return typeof schema === 'function' ? schema(lookup, env) : schema;
}

export interface LoadedService<S extends Schema> {
  readonly schema: S;
  readonly config: Values<S>;
  readonly secretFiles: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

/** The settings of a service without its process. Throws `config-invalid`. */
export function loadServiceConfig<S extends Schema>(
  service: Pick<Service<S>, 'schema' | 'input'>,
  env: Environment,
  mode: LoadMode = { withoutSecrets: false },
): LoadedService<S> {
  const lookup = makeLookup(env);
  const schema = findSchema(service, env, lookup);
  const { values, secretFiles, warnings } = readConfig(schema, { env, ...mode, ...service.input?.(env, lookup, mode) });
  return { schema, config: values, secretFiles, warnings };
}

/** The same settings, of which none must be set, and no check over several of them. */
function withoutRequired<S extends Schema>(service: Service<S>): Pick<Service<S>, 'schema' | 'input'> {
  return {
    // The keys and formats stay, so the type does.
    schema: (lookup, env) =>
      Object.fromEntries(
        Object.entries(findSchema(service, env, lookup)).map(([name, setting]) => [
          name,
          { ...setting, required: false },
        ]),
      ) as unknown as S,
    input: (env, lookup, mode) => ({ ...service.input?.(env, lookup, mode), check: () => [] }),
  };
}

/**
 * Does what the arguments say. Resolves when the service runs, or when all is said; the process ends by itself or by a
 * signal.
 */
export async function runService<S extends Schema>(service: Service<S>): Promise<void> {
  try {
    const found = readArguments(process.argv.slice(2), service.commands ?? [], service.options ?? [configOption]);
    const { action, command, args, settings } = found;
    const env = { ...process.env, ...settings };
    if (action === 'version') process.stdout.write(`${service.name} ${service.version}\n`);
    else if (action === 'help') process.stdout.write(describeService(service, command, env));
    else if (action === 'run' && command !== undefined)
      await runCommand(
        service,
        command,
        loadServiceConfig(command.requiresSettings === false ? withoutRequired(service) : service, env),
        { env, args },
      );
    else if (action === 'run') await run(service, loadServiceConfig(service, env), env);
    else process.stdout.write(makeTerminalSafe(describeConfig(service, found, env)));
  } catch (error) {
    process.stderr.write(`${service.name} cannot start:\n${makeTerminalSafe(describeError(error))}\n`);
    process.exit(exitCodeOf(error));
  }
}

function describeService<S extends Schema>(
  service: Service<S>,
  command: Command<S> | undefined,
  env: Environment,
): string {
  const terminal = { service: service.name, width: process.stdout.isTTY ? process.stdout.columns : undefined };
  if (command !== undefined) return formatCommandHelp(command, terminal);
  return formatHelp(findSchema(service, env, makeLookup(env)), {
    ...terminal,
    commands: service.commands ?? [],
    options: service.options ?? [configOption],
  });
}

function describeConfig<S extends Schema>(
  service: Service<S>,
  { action, withoutSecrets }: Arguments<Command<S>>,
  env: Environment,
): string {
  const loaded = loadServiceConfig(service, env, { withoutSecrets });
  for (const warning of loaded.warnings) process.stderr.write(`Warning: ${warning}\n`);
  if (action === 'check-config') return 'The settings are well.\n';
  return service.printConfig?.(loaded, env) ?? formatConfig(loaded.schema, loaded.config);
}

function exitCodeOf(error: unknown): number {
  return errorCode(error) === 'config-invalid' || errorCode(error) === 'arguments-invalid'
    ? exitCodes.config
    : exitCodes.failed;
}

/** What services and commands have in common: the context, and an end for errors that nobody caught. */
function makeContext<S extends Schema>(service: Service<S>, { config, warnings }: LoadedService<S>, env: Environment) {
  // Every schema holds the common settings; the generic parameter cannot say so.
  const common = config as unknown as CommonValues;
  const log = createLogger({ level: common.LOG_LEVEL, format: common.LOG_FORMAT, service: service.name });
  const metrics = createMetrics({ service: service.name, version: service.version });
  const endUncaught = (thrown: unknown): void => {
    const err = toError(thrown);
    log.fatal({ err, stack: err.stack }, 'Nobody caught this error: it is a defect of the program');
    process.exit(exitCodes.uncaught);
  };
  process.on('uncaughtException', endUncaught);
  process.on('unhandledRejection', endUncaught);
  for (const warning of warnings) log.warn({ warning }, 'A setting may be mistaken');
  const context: ServiceContext = { log, metrics, clock: systemClock, env };
  return { common, context };
}

/** The first signal asks, the second one ends the process at once. */
function onSignal(stop: (signal: string) => void): void {
  let isAsked = false;
  for (const [signal, number] of Object.entries(signalNumbers)) {
    process.on(signal, () => {
      if (isAsked) process.exit(128 + number);
      isAsked = true;
      stop(signal);
    });
  }
}

interface CommandInput {
  readonly env: Environment;
  readonly args: readonly string[];
}

async function runCommand<S extends Schema>(
  service: Service<S>,
  command: Command<S>,
  loaded: LoadedService<S>,
  { env, args }: CommandInput,
): Promise<void> {
  const { context } = makeContext(service, loaded, env);
  const stopping = new AbortController();
  onSignal(() => {
    stopping.abort();
  });
  try {
    await command.run(loaded.config, { ...context, args, signal: stopping.signal });
    process.exit(exitCodes.clean);
  } catch (err) {
    // What the person at the terminal can do something about is a sentence; anything else is ours, with its stack.
    if (err instanceof HydrantError) process.stderr.write(`${makeTerminalSafe(describeError(err))}\n`);
    else context.log.fatal({ err }, 'The command failed');
    process.exit(exitCodeOf(err));
  }
}

async function run<S extends Schema>(service: Service<S>, loaded: LoadedService<S>, env: Environment): Promise<void> {
  const { common, context } = makeContext(service, loaded, env);
  const { log, metrics, clock } = context;
  const { components, healthChecks, routes = [] } = await service.create(loaded.config, context);
  let isStarted = false;
  const started: HealthCheck = {
    name: 'process',
    check: () => (isStarted ? { status: 'pass' } : { status: 'fail', detail: 'is starting' }),
  };
  const { HTTP_HOST: host, HTTP_PORT: port, HTTP_ALLOWED_HOSTS: allowedHosts } = common;
  const admin = createAdminServer({
    host,
    port,
    allowedHosts: allowedHosts ?? [],
    metrics,
    healthChecks: [started, ...healthChecks],
    routes,
    log,
  });
  const lifecycle = createLifecycle({
    components: [admin, ...components],
    stopTimeoutMs: common.SHUTDOWN_TIMEOUT,
    log,
    clock,
  });
  const starting = new AbortController();

  async function stop(reason: string): Promise<void> {
    log.info({ reason, timeoutMs: common.SHUTDOWN_TIMEOUT }, 'Stopping');
    admin.setDraining();
    starting.abort();
    const failures = await lifecycle.stop();
    for (const err of failures) log.error({ err }, 'Component did not stop well');
    log.info('Stopped');
    process.exit(failures.length === 0 ? exitCodes.clean : exitCodes.failed);
  }
  onSignal((signal) => {
    void stop(signal);
  });

  log.info({ version: service.version }, 'Starting');
  try {
    await lifecycle.start(starting.signal);
  } catch (err) {
    log.fatal({ err }, 'Cannot start');
    process.exit(exitCodes.failed);
  }
  if (starting.signal.aborted) return;
  isStarted = true;
  log.info('Started');
}
