/**
 * Reads settings: environment, then CONFIG_FILE, then defaults; `<NAME>_FILE` for every secret. convict lays the sources over one another and has each
 * value checked. Its own formats, its reading of files and of arguments are not used: they guess, and they do not say where a value came from.
 */
import convict from 'convict';
import { HydrantError, toError } from '../../foundation/errors.ts';
import { readTableFile } from './config-file.ts';
import { maskUrl } from './mask-url.ts';
import { findSetting, readEnvironment, readTable, type Environment, type Found, type SettingTable, type Source } from './setting-sources.ts';
import type { Schema, Setting, Values } from './setting.ts';

export type { Environment } from './setting-sources.ts';

export interface ConfigInput {
  readonly env: Environment;
  /** Stands behind the environment in place of CONFIG_FILE, such as one table of that file. */
  readonly table?: SettingTable;
  /** Keys of CONFIG_FILE that the service reads itself. */
  readonly otherKeys?: readonly string[];
  /** Found by whoever made the schema; reported with the rest. */
  readonly problems?: readonly string[];
  /** Checks over several settings. One that cannot be read stands there with its default; what is said of it is dropped, because its own problem is reported. */
  readonly check?: (values: Readonly<Record<string, unknown>>) => readonly string[];
}

export function configError(problems: readonly string[]): HydrantError {
  return new HydrantError(problems.join('\n'), { code: 'config-invalid', retryable: false });
}

/** The table that CONFIG_FILE holds, keys as written. Throws `config-invalid` when it cannot be read. */
export function readConfigFile(file: string): Readonly<Record<string, unknown>> {
  try {
    return readTableFile(file);
  } catch (error) {
    throw configError([toError(error).message]);
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
  const env = readEnvironment(input.env);
  const table = readTable(schema, findTable(input, problems), input.otherKeys ?? [], problems);
  const { values, unreadable } = overlay(schema, { env, table }, problems);
  if (input.check !== undefined) for (const problem of checkTogether(input.check, values, unreadable)) problems.push(problem);
  if (problems.length > 0) throw configError(problems);
  // `overlay` parsed each value by the format of its setting.
  return values as Values<S>;
}

function findTable({ env, table }: ConfigInput, problems: string[]): SettingTable {
  const file = env['CONFIG_FILE'];
  if (table !== undefined) return table;
  if (file === undefined || file === '') return { values: {}, origin: '' };
  try {
    return { values: readTableFile(file), origin: file };
  } catch (error) {
    problems.push(toError(error).message);
    return { values: {}, origin: file };
  }
}

/** What `check` finds among the settings that could be read. It ends early, finding nothing, where it needs a required one that could not. */
function checkTogether(check: Required<ConfigInput>['check'], values: Readonly<Record<string, unknown>>, unreadable: Unreadable): readonly string[] {
  const missing = new Error('Expected a required setting to be readable');
  const readable = new Proxy(values, {
    get(target, name, receiver): unknown {
      const setting = typeof name === 'string' ? unreadable.get(name) : undefined;
      if (setting === undefined) return Reflect.get(target, name, receiver);
      if (setting.required === true) throw missing;
      return setting.default === null ? null : setting.format.parse(setting.default);
    },
  });
  try {
    return check(readable).filter((problem) => ![...unreadable.keys()].some((name) => problem.includes(`\`${name}\``)));
  } catch (thrown) {
    if (thrown === missing) return [];
    throw thrown;
  }
}

type Unreadable = ReadonlyMap<string, Setting<unknown>>;

interface Overlay {
  /** Null for what is not set or could not be read. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly unreadable: Unreadable;
}

interface Sources {
  readonly env: Source;
  readonly table: Source;
}

function overlay(schema: Schema, { env, table }: Sources, problems: string[]): Overlay {
  const unreadable = new Map<string, Setting<unknown>>();
  const declarations: convict.Schema<Record<string, unknown>> = {};
  const fromEnv: Record<string, string> = {};
  const fromTable: Record<string, unknown> = {};
  const parsed = new Map<string, unknown>();
  for (const [name, setting] of Object.entries(schema)) {
    const found = findSetting(name, schema, [env, table], problems);
    if (found === undefined) {
      unreadable.set(name, setting);
      continue;
    }
    const [inEnv, inTable] = found;
    if (inEnv !== undefined) fromEnv[name] = String(inEnv.raw);
    else if (isTable(inTable?.raw)) {
      unreadable.set(name, setting);
      problems.push(describeProblem(name, setting, inTable));
      continue;
    } else if (inTable !== undefined) fromTable[name] = inTable.raw;
    declarations[name] = declare(name, setting, (raw) => {
      const value = raw === null ? undefined : setting.format.parse(raw);
      if (value !== undefined) {
        parsed.set(name, value);
        return;
      }
      unreadable.set(name, setting);
      problems.push(describeProblem(name, setting, inEnv ?? inTable));
    });
  }

  convict(declarations, { env: fromEnv, args: [] }).load(fromTable).validate({ allowed: 'strict' });
  return { values: Object.fromEntries(Object.keys(schema).map((name) => [name, parsed.get(name) ?? null])), unreadable };
}

/**
 * n.b. convict turns text into the type of the default by guessing ("5abc" becomes 5), so defaults are handed over as text; and it takes a table
 * for settings of its own, so tables are kept from it.
 */
function declare(name: string, setting: Setting<unknown>, check: (raw: unknown) => void): convict.SchemaObj {
  return {
    doc: setting.doc,
    env: name,
    default: setting.default === null ? null : String(setting.default),
    nullable: setting.required !== true,
    sensitive: setting.sensitive === true,
    format: check,
  };
}

function isTable(raw: unknown): boolean {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw);
}

function describeProblem(name: string, setting: Setting<unknown>, found: Found | undefined): string {
  const expected = `Expected \`${name}\` to be ${setting.format.expected}`;
  if (found !== undefined) return `${expected}, got ${show(found.raw, setting)} (${found.origin})`;
  if (setting.default !== null) return `${expected}, got ${show(setting.default, setting)} (default)`;
  const suchAs = setting.format.name === 'text' && typeof setting.example === 'string' ? ` such as "${setting.example}"` : '';
  return `${expected}${suchAs}, it is not set (set the environment variable or add it to CONFIG_FILE)`;
}

function show(raw: unknown, setting: Setting<unknown>): string {
  if (setting.sensitive === true) return 'a value that is not shown because it is secret';
  const text = maskUrl(JSON.stringify(raw));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
