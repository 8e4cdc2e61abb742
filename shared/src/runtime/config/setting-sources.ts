/**
 * Collects what was set and where: environment, table of CONFIG_FILE, files that hold secrets. Older names are turned into the name itself.
 * Does not know what a good value is.
 */
import { readFileSync } from 'node:fs';
import { describeError } from '../../foundation/errors.ts';
import { findNearestName } from './nearest-name.ts';
import type { Schema, Setting } from './setting.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Values by setting name; `origin` names the table in errors. */
export interface SettingTable {
  readonly values: Readonly<Record<string, unknown>>;
  readonly origin: string;
}

/** A value as it was written. */
export interface Found {
  readonly raw: unknown;
  readonly origin: string;
}

/** Of a secret. */
const lineEnd = /\r?\n$/u;

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
export function readTable(schema: Schema, { values, origin }: SettingTable, otherKeys: readonly string[], problems: string[]): Source {
  const names = new Set(Object.entries(schema).flatMap(([name, setting]) => namesOf(name, setting, schema)));
  const source = new Map<string, Found>();
  for (const [key, raw] of Object.entries(values)) {
    const name = key.toUpperCase();
    // n.b. null in JSON says "not set".
    if (otherKeys.includes(key) || raw === null) continue;
    if (name === 'CONFIG_FILE') problems.push(`Expected \`CONFIG_FILE\` to be set in the environment, got it in ${origin}`);
    else if (!names.has(name)) problems.push(`Expected only known settings in ${origin}, got \`${key}\`${suggest(name, names)}`);
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

function suggest(name: string, names: Iterable<string>): string {
  const nearest = findNearestName(name, names);
  return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}

/** What one setting is in each source, first source first. Undefined when that cannot be told; the problem has been noted then. */
export function findSetting(name: string, schema: Schema, sources: readonly Source[], problems: string[]): readonly (Found | undefined)[] | undefined {
  const setting = schema[name];
  if (setting === undefined) return sources.map(() => undefined);
  const names = [name, ...(setting.aliases ?? [])];
  const direct = sources.map((source) => withoutLineEnd(look(source, name, names), setting));
  const fileNames = names.flatMap((each) => fileSettingOf(each, setting, schema) ?? []);
  const files = sources.map((source) => look(source, `${name}_FILE`, fileNames));

  const value = direct.find((found) => found !== undefined);
  const file = files.find((found) => found !== undefined);
  if (file === undefined) return direct;
  if (value !== undefined) {
    problems.push(`Expected either \`${name}\` or \`${name}_FILE\`, got both (${value.origin}; ${file.origin})`);
    return undefined;
  }
  const secret = readSecret(`${name}_FILE`, file, problems);
  return secret === undefined ? undefined : files.map((found) => (found === file ? secret : undefined));
}

/** n.b. a secret that was read from a file into a variable often brings the end of its line. */
function withoutLineEnd(found: Found | undefined, { sensitive }: Setting<unknown>): Found | undefined {
  return sensitive === true && typeof found?.raw === 'string' ? { ...found, raw: found.raw.replace(lineEnd, '') } : found;
}

function look(source: Source, name: string, names: readonly string[]): Found | undefined {
  for (const each of names) {
    const found = source.get(each);
    if (found !== undefined) return each === name ? found : { raw: found.raw, origin: `${found.origin}, as ${each}` };
  }
  return undefined;
}

function readSecret(name: string, { raw, origin }: Found, problems: string[]): Found | undefined {
  if (typeof raw !== 'string') {
    problems.push(`Expected \`${name}\` to name a readable file, got ${JSON.stringify(raw)} (${origin})`);
    return undefined;
  }
  try {
    const secret = readFileSync(raw, 'utf8').replace(lineEnd, '');
    if (secret !== '') return { raw: secret, origin: `${name} ${raw}` };
    problems.push(`Expected \`${name}\` to name a file that holds a value, got "${raw}", which is empty (${origin})`);
  } catch (error) {
    problems.push(`Expected \`${name}\` to name a readable file, got "${raw}" (${origin}): ${describeError(error)}`);
  }
  return undefined;
}
