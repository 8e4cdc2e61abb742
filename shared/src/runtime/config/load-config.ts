/**
 * Reads settings: environment, then CONFIG_FILE, then defaults; `<NAME>_FILE` for every secret. convict lays the
 * sources over one another and has each value checked. Its own formats, its reading of files and of arguments are not
 * used: they guess, and they do not say where a value came from.
 */
import { existsSync } from 'node:fs';
import convict from 'convict';
import { HydrantError, toError } from '../../foundation/errors.ts';
import { readTableFile } from './config-file.ts';
import { maskText } from './mask-url.ts';
import {
  doubtEnvironment,
  findSetting,
  readEnvironment,
  readTable,
  type Environment,
  type Found,
  type SettingTable,
  type Source,
} from './setting-sources.ts';
import type { Schema, Setting, Values } from './setting.ts';
import { masked, mayHoldLogin, showRaw } from './show-setting.ts';

export type { Environment } from './setting-sources.ts';

export interface ConfigInput {
  readonly env: Environment;
  /** Stands behind the environment in place of CONFIG_FILE, such as one table of that file. */
  readonly table?: SettingTable;
  /** Keys of CONFIG_FILE that the service reads itself. */
  readonly otherKeys?: readonly string[];
  /** Found by whoever made the schema; reported with the rest. */
  readonly problems?: readonly string[];
  /**
   * Checks over several settings. One that cannot be read stands there with its default; what is said of it is dropped,
   * because its own problem is reported.
   */
  readonly check?: (values: Readonly<Record<string, unknown>>) => readonly string[];
  /**
   * Settings that are known and not read here, such as those of other sinks: having them in the environment is no slip.
   */
  readonly otherSettings?: Schema;
  /** Said with the rest. */
  readonly warnings?: readonly string[];
  /** Where the secrets are not, as in CI: one that is missing is no problem. */
  readonly withoutSecrets?: boolean;
}

export interface LoadedConfig<S extends Schema> {
  readonly values: Values<S>;
  /** Of the secrets that stand in files, by setting. */
  readonly secretFiles: ReadonlyMap<string, string>;
  /** Sentences about what may be right and is probably not. */
  readonly warnings: readonly string[];
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
  return readConfig(schema, input).values;
}

/** As `loadConfig`, with what is to be said beside the values. */
export function readConfig<S extends Schema>(schema: S, input: ConfigInput): LoadedConfig<S> {
  const problems: string[] = [...(input.problems ?? [])];
  const env = readEnvironment(input.env);
  const table = readTable(schema, findTable(input, problems), input.otherKeys ?? [], problems);
  const { values, unreadable, secretFiles } = overlay(
    schema,
    { env, table, withoutSecrets: input.withoutSecrets === true },
    problems,
  );
  if (input.check !== undefined)
    for (const problem of checkTogether(input.check, values, unreadable)) problems.push(problem);
  const slips = doubtEnvironment({ ...input.otherSettings, ...schema }, env);
  // A slip is often why a required setting is missing.
  if (problems.length > 0) throw configError([...withoutLogins(problems, [env, table]), ...slips]);
  const doubts = Object.entries(schema).flatMap(([name, setting]) => describeDoubt(name, setting, values[name]));
  // `overlay` parsed each value by the format of its setting.
  return { values: values as Values<S>, secretFiles, warnings: [...(input.warnings ?? []), ...slips, ...doubts] };
}

function describeDoubt(name: string, setting: Setting<unknown>, value: unknown): readonly string[] {
  const doubt = value === null || value === undefined ? undefined : setting.format.doubt?.(value);
  return doubt === undefined ? [] : [`\`${name}\`: ${doubt}`];
}

const shortestQuoted = 4;

/** A problem may quote a value, or one word of a list, in words of its own; an address in it may hold a password. */
function withoutLogins(problems: readonly string[], sources: readonly Source[]): readonly string[] {
  const raws = sources.flatMap((source) =>
    [...source.values()].flatMap(({ raw }): readonly unknown[] => (Array.isArray(raw) ? raw : [raw])),
  );
  const shown = new Map<string, string>();
  for (const raw of raws) {
    if (typeof raw !== 'string' || !mayHoldLogin(raw)) continue;
    const whole = showQuoted(raw);
    shown.set(raw, whole);
    for (const word of raw.split(',').map((each) => each.trim())) {
      // n.b. a comma may stand in a password: what looks like a URL without one is then the first half of another.
      const alone = showQuoted(word);
      if (shown.get(word) !== masked) shown.set(word, whole.includes(alone) ? alone : masked);
    }
  }
  const longestFirst = [...shown]
    .filter(([word]) => word.length >= shortestQuoted)
    .sort(([one], [other]) => other.length - one.length);
  return problems.map((problem) =>
    longestFirst.reduce((text, [word, instead]) => text.replaceAll(word, instead), problem),
  );
}

function showQuoted(text: string): string {
  return text.includes('://') ? maskText(text) : masked;
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

/**
 * What `check` finds among the settings that could be read. It ends early, finding nothing, where it needs a required
 * one that could not.
 */
function checkTogether(
  check: Required<ConfigInput>['check'],
  values: Readonly<Record<string, unknown>>,
  unreadable: Unreadable,
): readonly string[] {
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
  readonly secretFiles: ReadonlyMap<string, string>;
}

interface Sources {
  readonly env: Source;
  readonly table: Source;
  readonly withoutSecrets: boolean;
}

function overlay(schema: Schema, { env, table, withoutSecrets }: Sources, problems: string[]): Overlay {
  const unreadable = new Map<string, Setting<unknown>>();
  const secretFiles = new Map<string, string>();
  const declarations: convict.Schema<Record<string, unknown>> = {};
  const fromEnv: Record<string, string> = {};
  const fromTable: Record<string, unknown> = {};
  const parsed = new Map<string, unknown>();
  for (const [name, setting] of Object.entries(schema)) {
    const found = findSetting(name, schema, { sources: [env, table], problems, withoutSecrets });
    const [inEnv, inTable] = found ?? [];
    const isMissing =
      found === undefined ||
      (inEnv === undefined &&
        inTable === undefined &&
        withoutSecrets &&
        setting.sensitive === true &&
        setting.default === null);
    if (isMissing) {
      unreadable.set(name, setting);
      continue;
    }
    const file = (inEnv ?? inTable)?.file;
    if (file !== undefined) secretFiles.set(name, file);
    if (inEnv !== undefined) fromEnv[name] = String(inEnv.raw);
    else if (isTable(inTable?.raw)) {
      unreadable.set(name, setting);
      problems.push(describeProblem(name, setting, inTable));
      continue;
    } else if (inTable !== undefined) fromTable[name] = inTable.raw;
    declarations[name] = declare(name, setting, (raw) => {
      const value = parseSetting(setting, raw);
      if (typeof value === 'string' && withoutSecrets && setting.namesSecret === true && !existsSync(value)) {
        unreadable.set(name, setting);
        return;
      }
      if (value !== undefined) {
        parsed.set(name, value);
        return;
      }
      unreadable.set(name, setting);
      problems.push(describeProblem(name, setting, inEnv ?? inTable));
    });
  }

  convict(declarations, { env: fromEnv, args: [] }).load(fromTable).validate({ allowed: 'strict' });
  return {
    values: Object.fromEntries(Object.keys(schema).map((name) => [name, parsed.get(name) ?? null])),
    unreadable,
    secretFiles,
  };
}

const lineEnd = /[\r\n]+$/u;
const controlCharacter = /\p{Cc}/u;

/** Undefined: not as expected. n.b. what a format throws would be told by convict, with the value. */
function parseSetting(setting: Setting<unknown>, raw: unknown): unknown {
  if (raw === null) return undefined;
  const given = setting.sensitive === true && typeof raw === 'string' ? raw.replace(lineEnd, '') : raw;
  if (setting.sensitive === true && typeof given === 'string' && controlCharacter.test(given)) return undefined;
  try {
    return setting.format.parse(given);
  } catch {
    return undefined;
  }
}

/**
 * n.b. convict turns text into the type of the default by guessing ("5abc" becomes 5), so defaults are handed over as
 * text; and it takes a table for settings of its own, so tables are kept from it.
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
  if (found !== undefined)
    return `${expected}, got ${showRaw(setting, found.raw)} (${found.origin})${describeHint(setting, found.raw)}`;
  if (setting.default !== null) return `${expected}, got ${showRaw(setting, setting.default)} (default)`;
  const suchAs =
    setting.format.name === 'text' && typeof setting.example === 'string' ? ` such as "${setting.example}"` : '';
  return `${expected}${suchAs}, it is not set (set the environment variable or add it to CONFIG_FILE)`;
}

function describeHint(setting: Setting<unknown>, raw: unknown): string {
  if (setting.sensitive === true && typeof raw === 'string' && controlCharacter.test(raw.replace(lineEnd, '')))
    return '; it holds a line break or another control character';
  const hint = setting.format.hint?.(raw);
  return hint === undefined ? '' : `; ${hint}`;
}
