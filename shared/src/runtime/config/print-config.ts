/** What `--print-config` prints: the settings in force, as they could be set again, secrets masked. */
import { stringify } from 'smol-toml';
import { maskText } from './mask-url.ts';
import type { Schema, Setting } from './setting.ts';
import { masked, showValue } from './show-setting.ts';

/** One `NAME=value` a line, as for the environment. */
export function formatConfig(schema: Schema, values: Readonly<Record<string, unknown>>): string {
  return Object.entries(schema)
    .map(([name, setting]) => `${name}=${showValue(setting, values[name])}\n`)
    .join('');
}

export interface ConfigTable {
  readonly schema: Schema;
  readonly values: Readonly<Record<string, unknown>>;
  /** Of the secrets that stand in files, by setting: they are printed as such. */
  readonly secretFiles: ReadonlyMap<string, string>;
}

/** As a file for CONFIG_FILE. What is secret and stands in no file of its own is left to the reader as a comment. */
export function formatToml({ schema, values, secretFiles }: ConfigTable): string {
  return Object.entries(schema)
    .map(([name, setting]) => {
      const value = values[name];
      const file = secretFiles.get(name);
      if (name === 'CONFIG_FILE' || value === null || value === undefined) return '';
      if (file !== undefined) return `${stringify({ [`${name}_FILE`]: file }).trimEnd()}\n`;
      const shown = showTomlValue(setting, value);
      return shown === undefined
        ? `# ${name} = "${showValue(setting, value)}" holds a secret, which is to be put in again\n`
        : `${stringify({ [name]: shown }).trimEnd()}\n`;
    })
    .join('');
}

type TomlValue = string | number | boolean | readonly string[];

/** Undefined: a part of it is secret. */
function showTomlValue(setting: Setting<unknown>, value: unknown): TomlValue | undefined {
  if (setting.sensitive === true) return undefined;
  if (Array.isArray(value)) {
    const items = value.map(String);
    return items.every((item) => maskText(item) === item) ? items : undefined;
  }
  if (typeof value === 'boolean' || (typeof value === 'number' && setting.format.show === undefined)) return value;
  const shown = showValue(setting, value);
  return shown === masked || (typeof value === 'string' && shown !== value) ? undefined : shown;
}
