/**
 * Reads settings: environment, then CONFIG_FILE, then defaults; `<NAME>_FILE` for every secret. convict holds and checks the values;
 * reading stays here, because a problem must be named with its value, what was expected and where it came from, all problems at once.
 */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import convict from 'convict';
import { parse as parseToml } from 'smol-toml';
import { describeError, HydrantError } from '../../foundation/errors.ts';
import { maskUrl } from './mask-url.ts';
import type { Schema, Setting, Values } from './setting.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigInput {
  readonly env: Environment;
  /** Values by setting name that stand behind the environment, such as a table of a file; `origin` names them in errors. */
  readonly table?: { readonly values: Readonly<Record<string, unknown>>; readonly origin: string };
  /** Keys of CONFIG_FILE that the service reads itself. */
  readonly otherKeys?: readonly string[];
  /** Found by whoever made the schema; reported with the rest. */
  readonly problems?: readonly string[];
  /** Checks over several settings, run when each of them is well. */
  readonly check?: (values: Readonly<Record<string, unknown>>) => readonly string[];
}

interface Found {
  readonly raw: unknown;
  readonly origin: string;
}

export function configError(problems: readonly string[]): HydrantError {
  return new HydrantError(problems.join('\n'), { code: 'config-invalid', retryable: false });
}

/** The table that CONFIG_FILE holds, keys as written. Throws `config-invalid` when it cannot be read. */
export function readConfigFile(file: string): Readonly<Record<string, unknown>> {
  try {
    const content = readFileSync(file, 'utf8');
    const parsed: unknown = extname(file) === '.json' ? JSON.parse(content) : parseToml(content);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new Error('it holds no table at the top');
    return Object.fromEntries(Object.entries(parsed));
  } catch (error) {
    throw configError([`Expected \`CONFIG_FILE\` to name a TOML or JSON file, got "${file}": ${describeError(error)}`]);
  }
}

/**
 * Throws a HydrantError `config-invalid` whose message has a line for each problem.
 * @example
 * const settings = { ...commonSettings({ httpPort: 9401 }), ...redisSettings } as const satisfies Schema;
 * const config = loadConfig(settings, { env: process.env }); // config.SHUTDOWN_TIMEOUT is a number of milliseconds
 */
export function loadConfig<S extends Schema>(schema: S, input: ConfigInput): Values<S> {
  const problems: string[] = [...(input.problems ?? [])];
  const table = readTable(schema, input, problems);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(schema)) {
    values[name] = readSetting(name, setting, { env: input.env, table }, problems);
  }
  if (problems.length === 0) problems.push(...(input.check?.(values) ?? []));
  if (problems.length > 0) throw configError(problems);
  return hold(schema, values);
}

/** convict keeps the values; its schema is ours, so that nothing unknown can stand beside them. */
function hold<S extends Schema>(schema: S, values: Readonly<Record<string, unknown>>): Values<S> {
  const declarations: convict.Schema<Record<string, unknown>> = {};
  for (const [name, { doc, sensitive }] of Object.entries(schema)) declarations[name] = { doc, format: '*', default: null, nullable: true, sensitive: sensitive === true };
  const config = convict(declarations, { env: {}, args: [] });
  config.load(values);
  config.validate({ allowed: 'strict' });
  return Object.fromEntries(Object.keys(schema).map((name) => [name, values[name]])) as Values<S>;
}

interface Sources {
  readonly env: Environment;
  readonly table: ReadonlyMap<string, Found>;
}

/** What stands behind the environment: a given table, else CONFIG_FILE. Keys are setting names in any case. */
function readTable(schema: Schema, input: ConfigInput, problems: string[]): ReadonlyMap<string, Found> {
  const found = new Map<string, Found>();
  const file = input.env['CONFIG_FILE'];
  let table = input.table;
  if (table === undefined && file !== undefined && file !== '') {
    try {
      table = { values: readConfigFile(file), origin: file };
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  const names = new Set(Object.entries(schema).flatMap(([name, setting]) => [name, ...(setting.aliases ?? []), ...(setting.sensitive === true ? [`${name}_FILE`] : [])]));
  for (const [key, raw] of Object.entries(table?.values ?? {})) {
    if (input.otherKeys?.includes(key) === true) continue;
    const name = key.toUpperCase();
    if (names.has(name)) found.set(name, { raw, origin: table?.origin ?? '' });
    else problems.push(`Expected only known settings in ${table?.origin ?? ''}, got \`${key}\`${suggest(name, [...names])}`);
  }
  return found;
}

function readSetting(name: string, setting: Setting<unknown>, sources: Sources, problems: string[]): unknown {
  const found = find(name, setting, sources, problems);
  if (found === 'unreadable') return undefined;
  if (found === undefined) {
    if (setting.default !== null) return setting.format.parse(setting.default);
    if (setting.required === true) {
      problems.push(`Expected \`${name}\` to be ${setting.format.expected}, it is not set (set the environment variable or add it to CONFIG_FILE)`);
    }
    return null;
  }
  const value = setting.format.parse(found.raw);
  if (value === undefined) problems.push(`Expected \`${name}\` to be ${setting.format.expected}, got ${show(found.raw, setting)} (${found.origin})`);
  return value;
}

/** The value that counts: environment before table, the name before its aliases, the setting or the file that holds it but not both. */
function find(name: string, setting: Setting<unknown>, { env, table }: Sources, problems: string[]): Found | 'unreadable' | undefined {
  const look = (key: string): Found | undefined => {
    const text = env[key];
    return text === undefined || text === '' ? table.get(key) : { raw: text, origin: key === name ? 'environment' : `environment, as ${key}` };
  };
  const direct = [name, ...(setting.aliases ?? [])].map(look).find((found) => found !== undefined);
  if (setting.sensitive !== true) return direct;
  const file = look(`${name}_FILE`);
  if (file === undefined) return direct;
  if (direct !== undefined) {
    problems.push(`Expected either \`${name}\` or \`${name}_FILE\`, got both (${direct.origin}; ${file.origin})`);
    return 'unreadable';
  }
  const path = String(file.raw);
  try {
    return { raw: readFileSync(path, 'utf8').trimEnd(), origin: path };
  } catch (error) {
    problems.push(`Expected \`${name}_FILE\` to name a readable file, got "${path}" (${file.origin}): ${describeError(error)}`);
    return 'unreadable';
  }
}

function show(raw: unknown, setting: Setting<unknown>): string {
  if (setting.sensitive === true) return 'a value that is not shown because it is secret';
  const text = typeof raw === 'string' ? `"${maskUrl(raw)}"` : (JSON.stringify(raw) ?? String(raw));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function suggest(name: string, names: readonly string[]): string {
  const nearest = names.map((other) => ({ other, distance: editDistance(name, other) })).sort((a, b) => a.distance - b.distance)[0];
  return nearest !== undefined && nearest.distance <= 4 ? `; did you mean \`${nearest.other}\`?` : '';
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
