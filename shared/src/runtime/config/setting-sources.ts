/**
 * Collects what was set and where: environment, table of CONFIG_FILE, files that hold secrets. Older names are turned
 * into the name itself. Does not know what a good value is.
 */
import { readFileSync } from 'node:fs';
import { describeError, errorCode } from '../../foundation/errors.ts';
import { findNearestName } from './nearest-name.ts';
import type { Schema, Setting } from './setting.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Values by setting name; `origin` names the table in errors. */
export interface SettingTable {
  readonly values: Readonly<Record<string, unknown>>;
  readonly origin: string;
  /** Other keys for settings, in capital letters. */
  readonly shortNames?: ReadonlyMap<string, string>;
}

/** A value as it was written. */
export interface Found {
  readonly raw: unknown;
  readonly origin: string;
  /** Of a secret that stands in a file of its own. */
  readonly file?: string;
}

const mostSlips = 2;

export type Source = ReadonlyMap<string, Found>;

/** Variables that are not empty. */
export function readEnvironment(env: Environment): Source {
  const source = new Map<string, Found>();
  for (const [name, raw] of Object.entries(env)) {
    if (raw !== undefined && raw !== '') source.set(name, { raw, origin: 'environment' });
  }
  return source;
}

/** Keys are setting names in any case; `otherKeys` belong to somebody else. */
export function readTable(
  schema: Schema,
  { values, origin, shortNames = new Map() }: SettingTable,
  otherKeys: readonly string[],
  problems: string[],
): Source {
  const names = new Set(Object.entries(schema).flatMap(([name, setting]) => namesOf(name, setting, schema)));
  const source = new Map<string, Found>();
  for (const [key, raw] of Object.entries(values)) {
    const name = shortNames.get(key.toUpperCase()) ?? key.toUpperCase();
    // n.b. null in JSON says "not set".
    if (otherKeys.includes(key) || raw === null) continue;
    if (name === 'CONFIG_FILE')
      problems.push(`Expected \`CONFIG_FILE\` to be set in the environment, got it in ${origin}`);
    else if (!names.has(name))
      problems.push(`Expected only known settings in ${origin}, got \`${key}\`${suggest(key, names, shortNames)}`);
    else if (source.has(name)) problems.push(`Expected \`${name}\` once in ${origin}, got it twice, in different case`);
    else source.set(name, { raw, origin });
  }
  return source;
}

/** Every name under which a source may hold a setting. */
function namesOf(name: string, setting: Setting<unknown>, schema: Schema): readonly string[] {
  const names = [name, ...(setting.aliases ?? [])];
  return [...names, ...names.map((each) => fileSettingOf(each, setting, schema)).filter((each) => each !== undefined)];
}

/** `<NAME>_FILE` of a secret, unless the schema gives that name a meaning of its own. */
function fileSettingOf(name: string, setting: Setting<unknown>, schema: Schema): string | undefined {
  const fileSetting = `${name}_FILE`;
  return setting.sensitive === true && !(fileSetting in schema) ? fileSetting : undefined;
}

function suggest(key: string, names: ReadonlySet<string>, shortNames: ReadonlyMap<string, string>): string {
  const nearest = findNearestName(key.toUpperCase(), [...shortNames.keys(), ...names]);
  if (nearest === undefined) return '';
  return `; did you mean \`${names.has(nearest) ? nearest : nearest.toLowerCase()}\`?`;
}

/** Words that begin the names of settings and of hardly anything else. */
const ownPrefix = /^(?:FIREHOSE|SINK|AMQP|REDIS|NOMAD|DETECTOR|RESTART|NOTIFICATION|NOTIFY|SHUTDOWN|CONFIG|LOG|DATA)_/u;

/** A sentence for each variable that is no setting and looks like one with a slip of the keys. */
export function doubtEnvironment(known: Schema, env: Source): readonly string[] {
  const names = new Set(Object.entries(known).flatMap(([name, setting]) => namesOf(name, setting, known)));
  const settings = [...names].filter((name) => ownPrefix.test(name));
  return [...env.keys()].flatMap((name) => {
    const nearest =
      names.has(name) || !/^[A-Z][A-Z0-9_]+$/u.test(name) ? undefined : findNearestName(name, settings, mostSlips);
    return nearest === undefined
      ? []
      : [`The environment variable \`${name}\` is no setting and is not read; did you mean \`${nearest}\`?`];
  });
}

export interface Finding {
  readonly sources: readonly Source[];
  readonly problems: string[];
  /** A file that holds a secret may be missing: the settings are checked where the secrets are not. */
  readonly withoutSecrets: boolean;
}

/**
 * What one setting is in each source, first source first. Undefined when that cannot be told; the problem has been
 * noted then.
 */
export function findSetting(
  name: string,
  schema: Schema,
  { sources, problems, withoutSecrets }: Finding,
): readonly (Found | undefined)[] | undefined {
  const setting = schema[name];
  if (setting === undefined) return sources.map(() => undefined);
  const names = [name, ...(setting.aliases ?? [])];
  const direct = sources.map((source) => look(source, name, names));
  const fileNames = names.flatMap((each) => fileSettingOf(each, setting, schema) ?? []);
  const files = sources.map((source) => look(source, `${name}_FILE`, fileNames));

  const value = direct.find((found) => found !== undefined);
  const file = files.find((found) => found !== undefined);
  if (file === undefined) return direct;
  if (value !== undefined) {
    problems.push(`Expected either \`${name}\` or \`${name}_FILE\`, got both (${value.origin}; ${file.origin})`);
    return undefined;
  }
  const secret = readSecret(`${name}_FILE`, file, problems, withoutSecrets);
  return secret === undefined ? undefined : files.map((found) => (found === file ? secret : undefined));
}

function look(source: Source, name: string, names: readonly string[]): Found | undefined {
  for (const each of names) {
    const found = source.get(each);
    if (found !== undefined) return each === name ? found : { raw: found.raw, origin: `${found.origin}, as ${each}` };
  }
  return undefined;
}

function readSecret(
  name: string,
  { raw, origin }: Found,
  problems: string[],
  mayBeMissing: boolean,
): Found | undefined {
  if (typeof raw !== 'string') {
    problems.push(`Expected \`${name}\` to name a readable file, got ${JSON.stringify(raw)} (${origin})`);
    return undefined;
  }
  try {
    const secret = readFileSync(raw, 'utf8');
    if (secret.trim() !== '') return { raw: secret, origin: `${name} ${raw}`, file: raw };
    problems.push(`Expected \`${name}\` to name a file that holds a value, got "${raw}", which is empty (${origin})`);
  } catch (error) {
    if (!mayBeMissing || errorCode(error) !== 'ENOENT')
      problems.push(`Expected \`${name}\` to name a readable file, got "${raw}" (${origin}): ${describeError(error)}`);
  }
  return undefined;
}
