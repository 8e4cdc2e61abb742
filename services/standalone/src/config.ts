/**
 * The settings of standalone: those of its parts, and the list of its sinks. Sinks stand as `[[sink]]` tables in CONFIG_FILE; without any,
 * SINK_TYPE and its settings give one, as for a sink-worker.
 */
import { ruleSettings } from '@hydrant/crashloop-detector/config';
import { checkNomadSettings, nomadSettings, spoolSettings, streamSettings } from '@hydrant/firehose/config';
import { describeError } from '@hydrant/shared/foundation/errors';
import { deliverySettings } from '@hydrant/shared/delivery/delivery-settings';
import { commonSettings, consumerSettings, dataSettings } from '@hydrant/shared/runtime/config/common-settings';
import { list } from '@hydrant/shared/runtime/config/formats';
import { loadConfig, readConfigFile, type ConfigInput, type Environment } from '@hydrant/shared/runtime/config/load-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { Lookup } from '@hydrant/shared/runtime/run-service';
import { resolveSink, sinkProblems, typeProblems, withSinkSettings, type ResolvedSink } from '@hydrant/sink-worker/config';

const baseSettings = {
  ...commonSettings({ httpPort: 9400 }),
  ...nomadSettings,
  ...streamSettings,
  ...spoolSettings,
  ...dataSettings,
  ...ruleSettings,
} as const satisfies Schema;

const bindings = { ...consumerSettings.AMQP_BINDINGS, doc: 'Patterns of routing keys that the sink gets, separated by commas.' };
const sinkSettings = { ...deliverySettings, AMQP_BINDINGS: { ...bindings, format: list } } as const satisfies Schema;

export type StandaloneConfig = Values<typeof baseSettings>;
export type SinkTable = Readonly<Record<string, unknown>>;

/** A sink with the values that its `create` takes. */
export interface ConfiguredSink extends ResolvedSink {
  readonly values: Values<Schema>;
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
  return readSinkTables(env).length > 0 ? baseSettings : withSinkSettings({ ...baseSettings, ...sinkSettings }, lookup('SINK_TYPE'));
}

export function standaloneInput(env: Environment, lookup: Lookup): Omit<ConfigInput, 'env'> {
  const tables = readSinkTables(env);
  const problems = tables.length > 0 ? tableProblems(env, tables) : typeProblems(lookup('SINK_TYPE'), 'environment or CONFIG_FILE');
  return { otherKeys: ['sink'], problems, check: (values) => [...checkNomadSettings(values), ...(tables.length > 0 ? [] : sinkProblems(lookup('SINK_TYPE'), values))] };
}

/** The sinks in the order in which they are written. Throws `config-invalid`. */
export function readSinks(env: Environment, config: StandaloneConfig): readonly ConfiguredSink[] {
  const tables = readSinkTables(env);
  if (tables.length > 0) return tables.map((table, position) => readTable(env, table, position));
  // `standaloneSchema` put the sink's settings beside the others.
  return [toSink(config as unknown as Values<typeof sinkSettings>)];
}

function tableProblems(env: Environment, tables: readonly SinkTable[]): readonly string[] {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const [position, table] of tables.entries()) {
    try {
      const { delivery } = readTable(env, table, position).worker;
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
  const values = Object.fromEntries(Object.entries(table).map(([key, value]) => [settingName(key, type ?? '', schema), value]));
  const loaded = loadConfig(schema, { env: {}, table: { values, origin }, problems: typeProblems(type, origin), check: (all) => sinkProblems(type, all) });
  return toSink(loaded);
}

/** `bucket` in a table of type `s3` is `SINK_S3_BUCKET`, `batch_age` is `SINK_BATCH_AGE`; a full name stays as it is. */
function settingName(key: string, type: string, schema: Schema): string {
  const upper = key.toUpperCase();
  if (upper === 'BINDINGS') return 'AMQP_BINDINGS';
  const names = [upper, `SINK_${type.toUpperCase()}_${upper}`, `SINK_${upper}`];
  return names.find((name) => name in schema) ?? key;
}

function toSink(values: Values<typeof sinkSettings>): ConfiguredSink {
  return { ...resolveSink({ ...values, AMQP_QUEUE: null }), values: values };
}
