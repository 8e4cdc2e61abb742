/**
 * The settings of standalone: those of its parts, and the list of its sinks. Sinks stand as `[[sink]]` tables in
 * CONFIG_FILE; without any, SINK_TYPE and its settings give one, as for a sink-worker. Who speaks to nomad-events-sink
 * has its settings in place of CONFIG_FILE.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pageSettings, rulesFileProblems, ruleSettings } from '@hydrant/crashloop-detector/config';
import { checkNomadSettings, nomadSettings, spoolSettings, streamSettings } from '@hydrant/firehose/config';
import { describeError, toError } from '@hydrant/shared/foundation/errors';
import { deliverySettings } from '@hydrant/shared/delivery/delivery-settings';
import { commonSettings, consumerSettings, dataSettings } from '@hydrant/shared/runtime/config/common-settings';
import { readTableFile } from '@hydrant/shared/runtime/config/config-file';
import { path } from '@hydrant/shared/runtime/config/formats';
import {
  readConfig,
  readConfigFile,
  type ConfigInput,
  type Environment,
  type LoadedConfig,
} from '@hydrant/shared/runtime/config/load-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { formatToml } from '@hydrant/shared/runtime/config/print-config';
import type { LoadedService, LoadMode, Lookup } from '@hydrant/shared/runtime/run-service';
import { allSinkSettings } from '@hydrant/sinks/registry';
import {
  resolveSink,
  sinkProblems,
  typeProblems,
  withSinkSettings,
  type ResolvedSink,
} from '@hydrant/sink-worker/config';
import {
  fileVariable,
  speaksToFormer,
  translateFormerSettings,
  type FormerSettings,
} from './nomad-events-sink-config.ts';
import type { FormerIndex } from './nomad-events-sink-index.ts';

const baseSettings = {
  ...commonSettings({ httpPort: 9400 }),
  ...nomadSettings,
  ...streamSettings,
  ...spoolSettings,
  ...dataSettings,
  ...ruleSettings,
  ...pageSettings,
  NOMAD_EVENTS_SINK_CONFIG: {
    doc: "nomad-events-sink's config.toml, read in place of `CONFIG_FILE`; the option `--config` is the same.",
    format: path,
    default: null,
    example: 'config.toml',
  },
} as const satisfies Schema;

const bindings = {
  ...consumerSettings.AMQP_BINDINGS,
  doc: 'Patterns of routing keys that the sink gets, separated by commas.',
};
const sinkSettings = { ...deliverySettings, AMQP_BINDINGS: bindings } as const satisfies Schema;

export type StandaloneConfig = Values<typeof baseSettings>;
export type SinkTable = Readonly<Record<string, unknown>>;

/** A sink with the values that its `create` takes. */
export interface ConfiguredSink extends ResolvedSink {
  readonly values: Values<Schema>;
}

interface LoadedTable extends LoadedConfig<typeof sinkSettings> {
  readonly schema: Schema;
}

/** What standalone is made of beside its settings. */
export interface StandaloneParts {
  /** In the order in which they are written. */
  readonly sinks: readonly ConfiguredSink[];
  /** Of a nomad-events-sink that ran here before. */
  readonly formerIndex: FormerIndex | undefined;
  /** Keys of its file that mean nothing. */
  readonly unknownKeys: readonly string[];
}

const formerFile = 'config.toml';

/** Undefined when nobody speaks to nomad-events-sink. What is wrong with its file is one of its problems. */
function readFormer(env: Environment): FormerSettings | undefined {
  if (!speaksToFormer(env)) return undefined;
  const given = env[fileVariable];
  try {
    const isThere = given !== undefined && given !== '';
    const table = isThere || existsSync(formerFile) ? readTableFile(isThere ? given : formerFile, '--config') : {};
    return translateFormerSettings(table, env);
  } catch (error) {
    const nothing = translateFormerSettings({}, env);
    return { ...nothing, problems: [toError(error).message] };
  }
}

/** The `[[sink]]` tables of CONFIG_FILE; an unreadable file has none here and is reported with the other problems. */
export function readSinkTables(env: Environment): readonly SinkTable[] {
  const file = env['CONFIG_FILE'];
  if (file === undefined || file === '') return [];
  try {
    const { sink } = readConfigFile(file);
    return Array.isArray(sink)
      ? sink.filter((table): table is SinkTable => typeof table === 'object' && table !== null)
      : [];
  } catch {
    // n.b. `loadConfig` reads the file again and reports why it cannot.
    return [];
  }
}

/** With tables, each sink has its settings there; without, they are settings of the process. */
export function standaloneSchema(env: Environment, lookup: Lookup): typeof baseSettings {
  const former = readFormer(env);
  if (former === undefined && readSinkTables(env).length > 0) return baseSettings;
  return withSinkSettings({ ...baseSettings, ...sinkSettings }, former?.sinkType ?? lookup('SINK_TYPE'));
}

export function standaloneInput(
  env: Environment,
  lookup: Lookup,
  { withoutSecrets }: LoadMode = { withoutSecrets: false },
): Omit<ConfigInput, 'env'> {
  const former = readFormer(env);
  if (former !== undefined) return formerInput(former, env, lookup);
  const tables = readSinkTables(env);
  const common = { otherKeys: ['sink'], otherSettings: { ...sinkSettings, ...allSinkSettings } };
  const rulesProblems = rulesFileProblems(lookup('DETECTOR_RULES_FILE'));
  if (tables.length === 0) {
    const problems = [...typeProblems(lookup('SINK_TYPE'), 'environment or CONFIG_FILE'), ...rulesProblems];
    return {
      ...common,
      problems,
      check: (values) => [...checkNomadSettings(values), ...sinkProblems(lookup('SINK_TYPE'), values)],
    };
  }
  const { problems, warnings } = judgeTables(env, tables, withoutSecrets);
  return {
    ...common,
    problems: [...problems, ...rulesProblems],
    warnings: [...doubtUnread(env), ...warnings],
    check: checkNomadSettings,
  };
}

/** What the tables of sinks hide. */
function doubtUnread(env: Environment): readonly string[] {
  const { SINK_TYPE: type = '' } = env;
  return type === ''
    ? []
    : [
        'The environment variable `SINK_TYPE` is not read, nor are other settings of sinks there: the sinks are the [[sink]] tables of CONFIG_FILE',
      ];
}

function formerInput(
  { values, sinkType, problems }: FormerSettings,
  env: Environment,
  lookup: Lookup,
): Omit<ConfigInput, 'env'> {
  const others = (['CONFIG_FILE', 'SINK_TYPE'] as const).filter((name) => env[name] !== undefined && env[name] !== '');
  return {
    table: { values, origin: `nomad-events-sink's ${env[fileVariable] ?? formerFile} and variables` },
    problems: [
      ...others.map(
        (name) =>
          `Expected either \`${name}\` or nomad-events-sink's settings (\`--config\`, \`NOMAD_EVENTS_SINK_…\`), got both; leave \`--config\` out when Hydrant's settings say it all`,
      ),
      ...problems,
      ...rulesFileProblems(lookup('DETECTOR_RULES_FILE')),
    ],
    check: (all) => [...checkNomadSettings(all), ...sinkProblems(sinkType, all)],
  };
}

/** Throws `config-invalid`. */
export function readParts(env: Environment, config: StandaloneConfig): StandaloneParts {
  const former = readFormer(env);
  if (former === undefined) return { sinks: readSinks(env, config), formerIndex: undefined, unknownKeys: [] };
  const formerIndex = { path: join(former.dataDir ?? config.DATA_DIR, 'index.json'), query: former.query };
  return {
    sinks: [toSink(config as unknown as Values<typeof sinkSettings>)],
    formerIndex,
    unknownKeys: former.unknown,
  };
}

function readSinks(env: Environment, config: StandaloneConfig): readonly ConfiguredSink[] {
  const tables = readSinkTables(env);
  if (tables.length > 0) return tables.map((table, position) => readTable(env, table, position));
  // `standaloneSchema` put the sink's settings beside the others.
  return [toSink(config as unknown as Values<typeof sinkSettings>)];
}

function judgeTables(
  env: Environment,
  tables: readonly SinkTable[],
  withoutSecrets: boolean,
): { readonly problems: readonly string[]; readonly warnings: readonly string[] } {
  const problems: string[] = [];
  const warnings: string[] = [];
  const names = new Set<string>();
  const owners = new Map<string, string>();
  for (const [position, table] of tables.entries()) {
    try {
      const { values, warnings: doubts } = loadTable(env, table, position, withoutSecrets);
      const {
        definition,
        worker: { delivery },
      } = toSink(values);
      const owned = definition.owns?.(values);
      const owner = owned === undefined ? undefined : owners.get(owned);
      if (owned !== undefined && owner !== undefined)
        problems.push(
          `Expected every [[sink]] to write to a place of its own, got ${owned} for "${owner}" and "${delivery.name}" (CONFIG_FILE)`,
        );
      else if (owned !== undefined) owners.set(owned, delivery.name);
      if (names.has(delivery.name))
        problems.push(`Expected every [[sink]] to have a name of its own, got "${delivery.name}" twice (CONFIG_FILE)`);
      names.add(delivery.name);
      for (const doubt of doubts) warnings.push(doubt);
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  return { problems, warnings };
}

function readTable(env: Environment, table: SinkTable, position: number): ConfiguredSink {
  return toSink(loadTable(env, table, position).values);
}

function loadTable(env: Environment, table: SinkTable, position: number, withoutSecrets = false): LoadedTable {
  const type = typeOf(table);
  const schema = withSinkSettings(sinkSettings, type);
  const origin = `[[sink]] number ${String(position + 1)} of ${env['CONFIG_FILE'] ?? 'CONFIG_FILE'}`;
  const problems = typeProblems(type, origin);
  const check = (all: Readonly<Record<string, unknown>>): readonly string[] => sinkProblems(type, all);
  const names = shortNames(type ?? '', schema);
  const shared = readShared(
    env,
    schema,
    Object.keys(table).map((key) => names.get(key.toUpperCase()) ?? key.toUpperCase()),
  );
  return {
    schema,
    ...readConfig(schema, {
      env: shared.env,
      table: { values: { ...shared.values, ...table }, origin, shortNames: names },
      problems,
      check,
      withoutSecrets,
    }),
  };
}

/**
 * What a table does not set itself and is no sink's own (`NOMAD_UI_URL`, `HTTPS_PROXY`, `AMQP_CONNECTION`, …) is as for
 * the whole process: in the environment, or above the tables.
 */
function readShared(
  env: Environment,
  schema: Schema,
  own: readonly string[],
): { readonly env: Environment; readonly values: SinkTable } {
  const names = Object.entries(schema).flatMap(([name, setting]) => {
    if (name.startsWith('SINK_') || name === 'AMQP_BINDINGS') return [];
    const all = [name, ...(setting.aliases ?? [])].flatMap((each) =>
      setting.sensitive === true ? [each, `${each}_FILE`] : [each],
    );
    return all.some((each) => own.includes(each.toUpperCase())) ? [] : all;
  });
  const above = env['CONFIG_FILE'] === undefined || env['CONFIG_FILE'] === '' ? {} : readConfigFile(env['CONFIG_FILE']);
  return {
    env: Object.fromEntries(names.map((name) => [name, env[name]])),
    values: Object.fromEntries(Object.entries(above).filter(([key]) => names.includes(key.toUpperCase()))),
  };
}

function typeOf(table: SinkTable): string | undefined {
  const [, type] = Object.entries(table).find(([key]) => ['TYPE', 'SINK_TYPE'].includes(key.toUpperCase())) ?? [];
  return typeof type === 'string' ? type : undefined;
}

/**
 * `BUCKET` in a table of type `s3` is `SINK_S3_BUCKET`, `BATCH_AGE` is `SINK_BATCH_AGE`, `TOKEN_FILE` the file of
 * `TOKEN`. Those of the sink itself come first.
 */
function shortNames(type: string, schema: Schema): ReadonlyMap<string, string> {
  const names = new Map([['BINDINGS', 'AMQP_BINDINGS']]);
  const prefixes = [`SINK_${type.toUpperCase()}_`, 'SINK_'];
  for (const [name, setting] of prefixes.flatMap((prefix) =>
    Object.entries(schema).filter(([name]) => name.startsWith(prefix)),
  )) {
    const prefix = prefixes.find((each) => name.startsWith(each)) ?? '';
    for (const ending of setting.sensitive === true ? ['', '_FILE'] : ['']) {
      const short = `${name.slice(prefix.length)}${ending}`;
      if (!names.has(short) && !(short in schema)) names.set(short, `${name}${ending}`);
    }
  }
  return names;
}

function toSink(values: Values<typeof sinkSettings>): ConfiguredSink {
  return { ...resolveSink({ ...values, AMQP_QUEUE: null }), values: values };
}

/**
 * With tables of sinks the settings are a file, which CONFIG_FILE may name again; without, they are variables as
 * everywhere.
 */
export function printStandaloneConfig(
  { schema, config, secretFiles }: LoadedService<typeof baseSettings>,
  env: Environment,
): string | undefined {
  const tables = readFormer(env) === undefined ? readSinkTables(env) : [];
  if (tables.length === 0) return undefined;
  const printed = tables.map((table, position) => `\n[[sink]]\n${formatToml(loadTable(env, table, position))}`);
  return `${formatToml({ schema, values: config, secretFiles })}${printed.join('')}`;
}
