/**
 * The settings of standalone: those of its parts, and the list of its sinks. Sinks stand as `[[sink]]` tables in CONFIG_FILE; without any,
 * SINK_TYPE and its settings give one, as for a sink-worker. Who speaks to nomad-events-sink has its settings in place of CONFIG_FILE.
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
import { loadConfig, readConfigFile, type ConfigInput, type Environment } from '@hydrant/shared/runtime/config/load-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { Lookup } from '@hydrant/shared/runtime/run-service';
import { resolveSink, sinkProblems, typeProblems, withSinkSettings, type ResolvedSink } from '@hydrant/sink-worker/config';
import { fileVariable, speaksToFormer, translateFormerSettings, type FormerSettings } from './nomad-events-sink-config.ts';
import type { FormerIndex } from './nomad-events-sink-index.ts';

const baseSettings = {
  ...commonSettings({ httpPort: 9400 }),
  ...nomadSettings,
  ...streamSettings,
  ...spoolSettings,
  ...dataSettings,
  ...ruleSettings,
  ...pageSettings,
  NOMAD_EVENTS_SINK_CONFIG: { doc: "nomad-events-sink's config.toml, read in place of `CONFIG_FILE`; the option `--config` is the same.", format: path, default: null, example: 'config.toml' },
} as const satisfies Schema;

const bindings = { ...consumerSettings.AMQP_BINDINGS, doc: 'Patterns of routing keys that the sink gets, separated by commas.' };
const sinkSettings = { ...deliverySettings, AMQP_BINDINGS: bindings } as const satisfies Schema;

export type StandaloneConfig = Values<typeof baseSettings>;
export type SinkTable = Readonly<Record<string, unknown>>;

/** A sink with the values that its `create` takes. */
export interface ConfiguredSink extends ResolvedSink {
  readonly values: Values<Schema>;
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
    return Array.isArray(sink) ? sink.filter((table): table is SinkTable => typeof table === 'object' && table !== null) : [];
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

export function standaloneInput(env: Environment, lookup: Lookup): Omit<ConfigInput, 'env'> {
  const former = readFormer(env);
  if (former !== undefined) return formerInput(former, env, lookup);
  const tables = readSinkTables(env);
  const problems = tables.length > 0 ? tableProblems(env, tables) : typeProblems(lookup('SINK_TYPE'), 'environment or CONFIG_FILE');
  return { otherKeys: ['sink'], problems: [...problems, ...rulesFileProblems(lookup('DETECTOR_RULES_FILE'))], check: (values) => [...checkNomadSettings(values), ...(tables.length > 0 ? [] : sinkProblems(lookup('SINK_TYPE'), values))] };
}

function formerInput({ values, sinkType, problems }: FormerSettings, env: Environment, lookup: Lookup): Omit<ConfigInput, 'env'> {
  const others = (['CONFIG_FILE', 'SINK_TYPE'] as const).filter((name) => env[name] !== undefined && env[name] !== '');
  return {
    table: { values, origin: `nomad-events-sink's ${env[fileVariable] ?? formerFile} and variables` },
    problems: [
      ...others.map((name) => `Expected either \`${name}\` or nomad-events-sink's settings (\`--config\`, \`NOMAD_EVENTS_SINK_…\`), got both; leave \`--config\` out when Hydrant's settings say it all`),
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
  return { sinks: [toSink(config as unknown as Values<typeof sinkSettings>)], formerIndex, unknownKeys: former.unknown };
}

function readSinks(env: Environment, config: StandaloneConfig): readonly ConfiguredSink[] {
  const tables = readSinkTables(env);
  if (tables.length > 0) return tables.map((table, position) => readTable(env, table, position));
  // `standaloneSchema` put the sink's settings beside the others.
  return [toSink(config as unknown as Values<typeof sinkSettings>)];
}

function tableProblems(env: Environment, tables: readonly SinkTable[]): readonly string[] {
  const problems: string[] = [];
  const names = new Set<string>();
  const owners = new Map<string, string>();
  for (const [position, table] of tables.entries()) {
    try {
      const { definition, values, worker: { delivery } } = readTable(env, table, position);
      const owned = definition.owns?.(values);
      const owner = owned === undefined ? undefined : owners.get(owned);
      if (owned !== undefined && owner !== undefined) problems.push(`Expected every [[sink]] to write to a place of its own, got ${owned} for "${owner}" and "${delivery.name}" (CONFIG_FILE)`);
      else if (owned !== undefined) owners.set(owned, delivery.name);
      if (names.has(delivery.name)) problems.push(`Expected every [[sink]] to have a name of its own, got "${delivery.name}" twice (CONFIG_FILE)`);
      names.add(delivery.name);
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  return problems;
}

function readTable(env: Environment, table: SinkTable, position: number): ConfiguredSink {
  const type = typeof table['type'] === 'string' ? table['type'] : undefined;
  const schema = withSinkSettings(sinkSettings, type);
  const origin = `[[sink]] number ${String(position + 1)} of ${env['CONFIG_FILE'] ?? 'CONFIG_FILE'}`;
  const own = Object.fromEntries(Object.entries(table).map(([key, value]) => [settingName(key, type ?? '', schema), value]));
  const shared = readShared(env, schema, own);
  const loaded = loadConfig(schema, { env: shared.env, table: { values: { ...shared.values, ...own }, origin }, problems: typeProblems(type, origin), check: (all) => sinkProblems(type, all) });
  return toSink(loaded);
}

/** What a table does not set itself and is no sink's own (`NOMAD_UI_URL`, `HTTPS_PROXY`, `AMQP_CONNECTION`, …) is as for the whole process: in the environment, or above the tables. */
function readShared(env: Environment, schema: Schema, own: SinkTable): { readonly env: Environment; readonly values: SinkTable } {
  const isSet = (names: readonly string[]): boolean => Object.keys(own).some((key) => names.includes(key.toUpperCase()));
  const names = Object.entries(schema).flatMap(([name, setting]) => {
    if (name.startsWith('SINK_') || name === 'AMQP_BINDINGS') return [];
    const all = [name, ...(setting.aliases ?? [])].flatMap((each) => (setting.sensitive === true ? [each, `${each}_FILE`] : [each]));
    return isSet(all) ? [] : all;
  });
  const above = env['CONFIG_FILE'] === undefined || env['CONFIG_FILE'] === '' ? {} : readConfigFile(env['CONFIG_FILE']);
  return {
    env: Object.fromEntries(names.map((name) => [name, env[name]])),
    values: Object.fromEntries(Object.entries(above).filter(([key]) => names.includes(key.toUpperCase()))),
  };
}

/** `bucket` in a table of type `s3` is `SINK_S3_BUCKET`, `batch_age` is `SINK_BATCH_AGE`, `token_file` the file of `token`; a full name stays as it is. */
function settingName(key: string, type: string, schema: Schema): string {
  const upper = key.toUpperCase();
  if (upper === 'BINDINGS') return 'AMQP_BINDINGS';
  const namesOf = (short: string): readonly string[] => [short, `SINK_${type.toUpperCase()}_${short}`, `SINK_${short}`];
  const name = namesOf(upper).find((each) => each in schema);
  if (name !== undefined || !upper.endsWith('_FILE')) return name ?? key;
  const secret = namesOf(upper.slice(0, -'_FILE'.length)).find((each) => schema[each]?.sensitive === true);
  return secret === undefined ? key : `${secret}_FILE`;
}

function toSink(values: Values<typeof sinkSettings>): ConfiguredSink {
  return { ...resolveSink({ ...values, AMQP_QUEUE: null }), values: values };
}
