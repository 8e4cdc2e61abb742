/** What `--print-config` prints: the settings in force, as they could be set again, secrets masked. */
import { formatDuration } from '../../foundation/durations.ts';
import { formatSize } from '../../foundation/sizes.ts';
import { maskUrl } from './mask-url.ts';
import type { Schema, Setting } from './setting.ts';

export function formatConfig(schema: Schema, values: Readonly<Record<string, unknown>>): string {
  return Object.entries(schema).map(([name, setting]) => `${name}=${showValue(setting, values[name])}\n`).join('');
}

function showValue(setting: Setting<unknown>, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (setting.sensitive === true) return '***';
  if (typeof value === 'number' && setting.format.name === 'duration') return formatDuration(value);
  if (typeof value === 'number' && setting.format.name === 'size') return formatSize(value);
  return Array.isArray(value) ? value.map(showPlain).join(',') : showPlain(value);
}

function showPlain(value: unknown): string {
  return maskUrl(typeof value === 'string' ? value : JSON.stringify(value));
}
