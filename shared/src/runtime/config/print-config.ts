/** What `--print-config` prints: the settings in force, as they could be set again, secrets masked. */
import type { Schema } from './setting.ts';
import { showValue } from './show-setting.ts';

export function formatConfig(schema: Schema, values: Readonly<Record<string, unknown>>): string {
  return Object.entries(schema).map(([name, setting]) => `${name}=${showValue(setting, values[name])}\n`).join('');
}
