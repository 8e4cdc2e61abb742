/**
 * The process around a service: arguments, settings, logger, metrics, admin server, signals, exit code. The only place that ends the process.
 *
 * Exit codes: 0 after a clean stop, 1 when something had to be abandoned or could not start, 70 after an error that nobody caught, 78 when the
 * settings are wrong, 128 + signal when a second signal ends it at once.
 */
import { parseArgs } from 'node:util';
import { systemClock, type Clock } from '../foundation/clock.ts';
import { describeError, errorCode } from '../foundation/errors.ts';
import { createAdminServer } from './admin/admin-server.ts';
import type { HealthCheck } from './admin/health.ts';
import type { Component } from './component.ts';
import { commonSettings } from './config/common-settings.ts';
import { formatConfig, formatHelp } from './config/help.ts';
import { loadConfig, readConfigFile, type ConfigInput, type Environment } from './config/load-config.ts';
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
}

/** Reads a setting as the environment or CONFIG_FILE has it, for a schema that depends on it. */
export type Lookup = (name: string) => string | undefined;

export interface Service<S extends Schema> {
  /** As in logs and metrics, such as `hydrant-firehose`. */
  readonly name: string;
  readonly version: string;
  /** Holds at least `commonSettings`. */
  readonly schema: S | ((lookup: Lookup, env: Environment) => S);
  /** Problems that the schema alone cannot find, and keys of CONFIG_FILE that the service reads itself. */
  readonly input?: (env: Environment, lookup: Lookup) => Omit<ConfigInput, 'env'>;
  /** Pure: makes the parts, connects nothing. A HydrantError `config-invalid` counts as a problem of the settings. */
  create(config: Values<S>, context: ServiceContext): ServiceParts | Promise<ServiceParts>;
}

type CommonValues = Values<ReturnType<typeof commonSettings>>;

const exitCodes = { clean: 0, failed: 1, uncaught: 70, config: 78 } as const;
const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;
const options = {
  help: { type: 'boolean' },
  version: { type: 'boolean' },
  'check-config': { type: 'boolean' },
  'print-config': { type: 'boolean' },
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

interface Loaded<S extends Schema> {
  readonly schema: S;
  readonly config: Values<S>;
}

/** The settings of a service without its process. Throws `config-invalid`. */
export function loadServiceConfig<S extends Schema>(service: Pick<Service<S>, 'schema' | 'input'>, env: Environment): Loaded<S> {
  const lookup = makeLookup(env);
  const schema = typeof service.schema === 'function' ? service.schema(lookup, env) : service.schema;
  return { schema, config: loadConfig(schema, { env, ...service.input?.(env, lookup) }) };
}

export async function runService<S extends Schema>(service: Service<S>): Promise<void> {
  const env = process.env;
  try {
    const { values } = parseArgs({ options, args: process.argv.slice(2) });
    if (values.version === true) {
      process.stdout.write(`${service.name} ${service.version}\n`);
      return;
    }
    if (values.help === true) {
      const schema = typeof service.schema === 'function' ? service.schema(makeLookup(env), env) : service.schema;
      process.stdout.write(formatHelp(service.name, schema, []));
      return;
    }
    const { schema, config } = loadServiceConfig(service, env);
    if (values['print-config'] === true) process.stdout.write(formatConfig(schema, config));
    else if (values['check-config'] === true) process.stdout.write('The settings are well.\n');
    else await run(service, config, env);
  } catch (error) {
    process.stderr.write(`${service.name} cannot start:\n${describeError(error)}\n`);
    const isUsage = errorCode(error) === 'config-invalid' || errorCode(error)?.startsWith('ERR_PARSE_ARGS') === true;
    process.exitCode = isUsage ? exitCodes.config : exitCodes.failed;
  }
}

async function run<S extends Schema>(service: Service<S>, config: Values<S>, env: Environment): Promise<void> {
  // Every schema holds the common settings; the generic parameter cannot say so.
  const common = config as unknown as CommonValues;
  const log = createLogger({ level: common.LOG_LEVEL, format: common.LOG_FORMAT, service: service.name });
  const metrics = createMetrics({ service: service.name, version: service.version });
  const { components, healthChecks } = await service.create(config, { log, metrics, clock: systemClock, env });
  const admin = createAdminServer({ host: common.HTTP_HOST, port: common.HTTP_PORT, metrics, healthChecks, log });
  const lifecycle = createLifecycle([admin, ...components], log);
  const starting = new AbortController();
  let stopping: Promise<void> | undefined;

  async function stop(reason: string): Promise<void> {
    log.info({ reason, timeoutMs: common.SHUTDOWN_TIMEOUT }, 'Stopping');
    admin.setDraining();
    starting.abort();
    const failures = await lifecycle.stop(AbortSignal.timeout(Math.max(0, common.SHUTDOWN_TIMEOUT - reserveMs)));
    for (const err of failures) log.error({ err }, 'Component did not stop well');
    log.info('Stopped');
    process.exit(failures.length === 0 ? exitCodes.clean : exitCodes.failed);
  }
  for (const [signal, number] of Object.entries(signalNumbers)) {
    process.on(signal, () => {
      if (stopping !== undefined) process.exit(128 + number);
      stopping = stop(signal);
    });
  }
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'Nobody caught this error: it is a defect of the program');
    process.exit(exitCodes.uncaught);
  });

  log.info({ version: service.version }, 'Starting');
  try {
    await lifecycle.start(starting.signal);
    if (!starting.signal.aborted) log.info('Started');
  } catch (err) {
    log.fatal({ err }, 'Cannot start');
    process.exit(exitCodes.failed);
  }
}

/** Kept back from SHUTDOWN_TIMEOUT, so that a component that hangs is named before the process must be gone. */
const reserveMs = 1000;
