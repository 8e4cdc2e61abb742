/** What `--help` prints: the options, the commands and a table of the settings. */
import { maskText } from './mask-url.ts';
import type { Schema, Setting } from './setting.ts';

export interface CommandHelp {
  readonly name: string;
  readonly doc: string;
}

const optionLines = [
  '  --help          this text',
  '  --version       the version',
  '  --check-config  says whether the settings are well, connects nothing',
  '  --print-config  prints the settings in force, secrets masked',
];

/** `options` are those of the service alone, each with a value. */
export function formatHelp(service: string, schema: Schema, commands: readonly CommandHelp[], options: readonly CommandHelp[] = []): string {
  const commandLines = commands.map(({ name, doc }) => `  ${name.padEnd(16)}${doc}`);
  return [
    `Usage: ${service} [option]${commands.length > 0 ? ' [command]' : ''}`,
    '',
    'Options',
    ...optionLines,
    ...options.map(({ name, doc }) => `  ${`--${name} <value>`.padEnd(16)}${doc}`),
    ...(commandLines.length > 0 ? ['', 'Commands', ...commandLines] : []),
    '',
    'Settings (environment variables; also keys of the TOML or JSON file that CONFIG_FILE names)',
    ...Object.entries(schema).map(([name, setting]) => `  ${name.padEnd(32)}${describeSetting(name, setting)}`),
    '',
  ].join('\n');
}

function describeSetting(name: string, setting: Setting<unknown>): string {
  const notes = [
    describeDefault(setting),
    ...(setting.example === undefined ? [] : [`Example: ${setting.example}`]),
    ...(setting.sensitive === true ? [`Secret, also read from the file that ${name}_FILE names`] : []),
    ...(setting.aliases === undefined ? [] : [`Also read as ${setting.aliases.join(', ')}`]),
  ];
  return `${setting.doc} ${notes.join('. ')}.`;
}

function describeDefault(setting: Setting<unknown>): string {
  if (setting.default === null) return setting.required === true ? 'Required' : 'Default: none';
  return `Default: ${setting.default === '' ? 'empty' : maskText(String(setting.default))}`;
}
