/** What `--help` and `--print-config` print. */
import { formatDuration } from '../../foundation/durations.ts';
import { formatSize } from '../../foundation/sizes.ts';
import { maskUrl } from './mask-url.ts';
import type { Schema, Setting } from './setting.ts';

export interface CommandHelp {
  readonly name: string;
  readonly doc: string;
}

export function formatHelp(service: string, schema: Schema, commands: readonly CommandHelp[]): string {
  const lines = Object.entries(schema).map(([name, setting]) => `  ${name.padEnd(32)}${setting.doc} ${describeDefault(setting)}`);
  const options = [
    '  --help          this text',
    '  --version       the version',
    '  --check-config  says whether the settings are well, connects nothing',
    '  --print-config  prints the settings in force, secrets masked',
  ];
  const commandLines = commands.map(({ name, doc }) => `  ${name.padEnd(16)}${doc}`);
  return [
    `Usage: ${service} [option]`,
    '',
    'Options',
    ...options,
    ...(commandLines.length > 0 ? ['', 'Commands', ...commandLines] : []),
    '',
    'Settings (environment variables; also keys of the TOML or JSON file that CONFIG_FILE names)',
    ...lines,
    '',
  ].join('\n');
}

function describeDefault(setting: Setting<unknown>): string {
  if (setting.default !== null) return `Default: ${maskUrl(String(setting.default))}`;
  return setting.required === true ? 'Required.' : 'Default: none';
}

export function formatConfig(schema: Schema, values: Readonly<Record<string, unknown>>): string {
  return Object.entries(schema).map(([name, setting]) => `${name}=${showValue(setting, values[name])}\n`).join('');
}

function showValue(setting: Setting<unknown>, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (setting.sensitive === true) return '***';
  if (typeof value === 'number' && setting.format.name === 'duration') return formatDuration(value);
  if (typeof value === 'number' && setting.format.name === 'size') return formatSize(value);
  if (Array.isArray(value)) return value.map((each) => (typeof each === 'string' ? maskUrl(each) : maskUrl(JSON.stringify(each)))).join(',');
  return typeof value === 'string' ? maskUrl(value) : (JSON.stringify(value) ?? '');
}
