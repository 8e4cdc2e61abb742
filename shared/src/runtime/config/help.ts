/** What `--help` prints: the options, the commands and the settings in groups; of a command what it does and takes. */
import { maskText } from './mask-url.ts';
import type { Schema, Setting } from './setting.ts';

export interface CommandHelp {
  readonly name: string;
  readonly doc: string;
  /** Its options and what else `<command> --help` tells, in lines. */
  readonly help?: string;
}

export interface HelpInput {
  readonly service: string;
  readonly commands: readonly CommandHelp[];
  /** Those that stand for a setting, each with a value. */
  readonly options: readonly CommandHelp[];
  /** Columns of the terminal. */
  readonly width?: number | undefined;
}

const widths = { min: 60, usual: 80, max: 100 } as const;
const nameColumn = 34;

const ownOptions: readonly CommandHelp[] = [
  { name: '-h, --help', doc: 'This text; behind a command, what the command takes.' },
  { name: '--version', doc: 'The version.' },
  {
    name: '--check-config',
    doc: 'Says whether the settings are well, connects nothing. With `--no-secrets` secrets may be missing, as in CI.',
  },
  { name: '--print-config', doc: 'Prints the settings in force, secrets masked.' },
];

/** Settings by the word that their names begin with; those of no other group stand at the end. */
const groups: readonly (readonly [title: string, prefix: RegExp])[] = [
  ['Nomad', /^NOMAD_/u],
  ['Firehose', /^FIREHOSE_/u],
  ['Crash loops', /^(?:DETECTOR|RESTART|NOTIFICATION|NOTIFY)_/u],
  ['Sink', /^SINK_/u],
  ['RabbitMQ and bindings', /^AMQP_/u],
  ['Redis', /^REDIS_/u],
  ['Process', /^/u],
];

export function formatHelp(schema: Schema, { service, commands, options, width }: HelpInput): string {
  const columns = clampWidth(width);
  const withValues = options.map(({ name, doc }) => ({ name: `--${name} FILE`, doc }));
  const sinkNote =
    'SINK_TYPE' in schema
      ? [
          ...wrap(
            `Each sink has settings of its own: they are listed when SINK_TYPE is set, as in \`SINK_TYPE=http ${service} --help\`.`,
            columns,
          ),
          '',
        ]
      : [];
  return [
    `Usage: ${service} [option]${commands.length > 0 ? ' [command]' : ''}`,
    '',
    'Options',
    ...[...ownOptions, ...withValues].flatMap((option) => formatEntry(option.name, option.doc, columns)),
    ...(commands.length === 0
      ? []
      : ['', 'Commands', ...commands.flatMap(({ name, doc }) => formatEntry(name, doc, columns))]),
    '',
    ...wrap('Settings are environment variables, and keys of the TOML or JSON file that CONFIG_FILE names.', columns),
    '',
    ...sinkNote,
    ...formatGroups(schema, columns),
  ].join('\n');
}

/** `<service> <command> --help`. */
export function formatCommandHelp(
  { name, doc, help }: CommandHelp,
  { service, width }: Pick<HelpInput, 'service' | 'width'>,
): string {
  const more = help === undefined ? [] : ['', help.trimEnd()];
  return [
    `Usage: ${service} ${name}`,
    '',
    ...wrap(doc, clampWidth(width)),
    ...more,
    '',
    ...wrap(`It uses the settings of ${service}: \`${service} --help\` lists them.`, clampWidth(width)),
    '',
  ].join('\n');
}

function clampWidth(width: number = widths.usual): number {
  return Math.min(widths.max, Math.max(widths.min, width));
}

function formatGroups(schema: Schema, columns: number): readonly string[] {
  const grouped = new Map<string, (readonly [string, Setting<unknown>])[]>(groups.map(([title]) => [title, []]));
  for (const [name, setting] of Object.entries(schema)) {
    const [title = ''] = groups.find(([, prefix]) => prefix.test(name)) ?? [];
    grouped.get(title)?.push([name, setting]);
  }
  return [...grouped].flatMap(([title, settings]) =>
    settings.length === 0
      ? []
      : [
          title,
          ...settings.flatMap(([name, setting]) => formatEntry(name, describeSetting(name, setting), columns)),
          '',
        ],
  );
}

/** The name in one column, the text in another; a name that is too long for its column has a line of its own. */
function formatEntry(name: string, text: string, columns: number): readonly string[] {
  const lines = wrap(text, columns - nameColumn);
  const indent = ' '.repeat(nameColumn);
  const head = `  ${name} `;
  if (head.length > nameColumn) return [head.trimEnd(), ...lines.map((line) => indent + line)];
  return lines.map((line, at) => (at === 0 ? head.padEnd(nameColumn) : indent) + line);
}

/** At blanks; a word that is longer than a line stays whole. */
function wrap(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
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
  return `Default: ${setting.default === '' ? 'empty' : maskText(String(setting.default)).replaceAll(',', ', ')}`;
}
