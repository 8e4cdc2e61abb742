/**
 * Arguments and environment variables of the `hydrant-simulator` command as options. Pure; every problem is named at
 * once.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { parseDuration } from '@hydrant/shared/foundation/durations';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import type { LoadOptions } from './load-generator.ts';
import { defaults, type SimulatorOptions } from './options.ts';

interface Flag {
  readonly name: string;
  readonly type: 'string' | 'boolean';
  readonly value?: string;
  readonly help: string;
}

export type CommandLine = { readonly help: true } | { readonly help: false; readonly options: SimulatorOptions };

const DEFAULT_PORT = 4646;
const DEFAULT_CONTROL_PORT = 4650;
const DEFAULT_SPEED = 1;

const flags: readonly Flag[] = [
  {
    name: 'recording',
    type: 'string',
    value: 'NAME',
    help: `folder in fixtures/, or a path (default ${defaults.recording})`,
  },
  { name: 'host', type: 'string', value: 'ADDRESS', help: `where to listen (default ${defaults.host})` },
  {
    name: 'port',
    type: 'string',
    value: 'PORT',
    help: `Nomad's port, 0 for any free one (default ${String(DEFAULT_PORT)})`,
  },
  {
    name: 'control-port',
    type: 'string',
    value: 'PORT',
    help: `control on 127.0.0.1, 0 for any free one (default ${String(DEFAULT_CONTROL_PORT)})`,
  },
  {
    name: 'buffer-size',
    type: 'string',
    value: 'N',
    help: `transactions in the buffer (default ${String(defaults.bufferSize)}; Nomad's is 100)`,
  },
  { name: 'heartbeat', type: 'string', value: 'DURATION', help: 'time between heartbeats (default 30s)' },
  {
    name: 'speed',
    type: 'string',
    value: 'N|instant',
    help: `times the recorded speed, or all at once (default ${String(DEFAULT_SPEED)})`,
  },
  { name: 'loop', type: 'boolean', help: 'play for ever; later rounds have higher indexes and other ids' },
  { name: 'paused', type: 'boolean', help: 'begin when the control says resume' },
  { name: 'shift-to-now', type: 'boolean', help: 'move the recorded times to now' },
  {
    name: 'lists',
    type: 'string',
    value: 'WORD',
    help: '`recorded` as dumped at the end of the recording, or `played` up to now (default recorded)',
  },
  { name: 'token', type: 'string', value: 'TOKEN', help: 'turn access control on: only this token is accepted' },
  {
    name: 'load',
    type: 'string',
    value: 'N|max',
    help: 'make N allocation events a second, or as many as are read, instead of playing',
  },
  { name: 'load-total', type: 'string', value: 'N', help: 'end the load after this many events' },
  { name: 'load-events-per-frame', type: 'string', value: 'N', help: 'events in each frame of the load (default 1)' },
  {
    name: 'load-crash-percent',
    type: 'string',
    value: 'N',
    help: 'how many of 100 events of the load tell of crashes (default 100)',
  },
  {
    name: 'load-event-bytes',
    type: 'string',
    value: 'N',
    help: 'size of each event of the load (default as recorded); members are dropped or a text is filled up',
  },
  {
    name: 'writes',
    type: 'string',
    value: 'WORD',
    help: '`apart` as Nomad writes, or `joined` for load (default apart; with --load max joined)',
  },
];

/** Throws one error with all problems. */
export function readCommandLine(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CommandLine {
  const reader = new Reader(args, env);
  if (reader.isSet('help')) return { help: true };
  const load = readLoad(reader);
  const token = reader.text('token');
  const options: SimulatorOptions = {
    recording: reader.text('recording') ?? defaults.recording,
    host: reader.text('host') ?? defaults.host,
    port: reader.integer('port') ?? DEFAULT_PORT,
    controlPort: reader.integer('control-port') ?? DEFAULT_CONTROL_PORT,
    bufferSize: reader.integer('buffer-size') ?? defaults.bufferSize,
    heartbeatMs: reader.duration('heartbeat') ?? defaults.heartbeatMs,
    speed: reader.positiveOr('speed', 'instant') ?? DEFAULT_SPEED,
    rounds: reader.isSet('loop') ? Infinity : 1,
    paused: reader.isSet('paused'),
    shiftToNow: reader.isSet('shift-to-now'),
    lists: reader.word('lists', ['recorded', 'played']) ?? defaults.lists,
    writes:
      reader.word('writes', ['apart', 'joined']) ??
      (load !== undefined && load.eventsPerSecond === undefined ? 'joined' : 'apart'),
    ...(token === undefined ? {} : { token }),
    ...(load === undefined ? {} : { load }),
  };
  reader.throwProblems();
  return { help: false, options };
}

function readLoad(reader: Reader): LoadOptions | undefined {
  const rate = reader.positiveOr('load', 'max');
  const total = reader.integer('load-total');
  const eventsPerFrame = reader.integer('load-events-per-frame');
  const crashPercent = reader.integer('load-crash-percent');
  const eventBytes = reader.integer('load-event-bytes');
  if (rate === undefined) return undefined;
  return {
    ...(rate === 'max' ? {} : { eventsPerSecond: rate }),
    ...(total === undefined ? {} : { total }),
    ...(crashPercent === undefined ? {} : { crashPercent: Math.min(100, crashPercent) }),
    ...(eventBytes === undefined ? {} : { eventBytes }),
    ...(eventsPerFrame === undefined ? {} : { eventsPerFrame: Math.max(1, eventsPerFrame) }),
  };
}

export function helpText(): string {
  const usage = flags.map(
    ({ name, value, help }) => `  ${`--${name}${value === undefined ? '' : ` ${value}`}`.padEnd(32)}${help}`,
  );
  return [
    'hydrant-simulator: a Nomad that plays a recording',
    '',
    ...usage,
    `  ${'--help'.padEnd(32)}this text`,
    '',
    `Each is also an environment variable, such as ${variableOf('shift-to-now')}=true; an argument wins.`,
    'While it runs: GET /control/state and POST /control/<action> on the control port.',
    '',
  ].join('\n');
}

function variableOf(name: string): string {
  return `SIMULATOR_${name.replaceAll('-', '_').toUpperCase()}`;
}

class Reader {
  readonly #problems: string[] = [];
  readonly #args: Readonly<Record<string, string | boolean | undefined>>;
  readonly #env: Readonly<Record<string, string | undefined>>;

  constructor(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    this.#env = env;
    this.#args = this.#parse(args);
  }

  isSet(name: string): boolean {
    const value = this.#args[name];
    if (value !== undefined) return value === true;
    const text = this.#env[variableOf(name)] ?? '';
    if (!['', 'true', 'false'].includes(text)) this.#report(name, 'true or false', text);
    return text === 'true';
  }

  text(name: string): string | undefined {
    const value = this.#args[name] ?? this.#env[variableOf(name)];
    return typeof value === 'string' && value !== '' ? value : undefined;
  }

  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text !== undefined && !/^\d+$/.test(text)) this.#report(name, 'a whole number', text);
    return text === undefined ? undefined : Number(text);
  }

  duration(name: string): number | undefined {
    const text = this.text(name);
    const ms = text === undefined ? undefined : parseDuration(text);
    if (text !== undefined && (ms === undefined || ms <= 0)) this.#report(name, 'a duration such as 30s', text);
    return ms;
  }

  positiveOr<const Word extends string>(name: string, word: Word): number | Word | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (text === word) return word;
    const value = Number(text);
    if (!(value > 0) || value === Infinity) this.#report(name, `a number above 0 or ${word}`, text);
    return value;
  }

  word<const Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.text(name);
    const word = words.find((candidate) => candidate === text);
    if (text !== undefined && word === undefined) this.#report(name, words.join(' or '), text);
    return word;
  }

  throwProblems(): void {
    if (this.#problems.length === 0) return;
    throw new HydrantError(this.#problems.join('\n'), { code: 'simulator-options', retryable: false });
  }

  #parse(args: readonly string[]): Readonly<Record<string, string | boolean | undefined>> {
    const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
    for (const { name, type } of flags) options[name] = { type };
    try {
      return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Record<
        string,
        string | boolean | undefined
      >;
    } catch (error) {
      this.#problems.push(`${describeError(error)} (see --help)`);
      return {};
    }
  }

  #report(name: string, expected: string, got: string): void {
    const place = this.#args[name] === undefined ? variableOf(name) : `--${name}`;
    this.#problems.push(`Expected \`${place}\` to be ${expected}, got "${got}"`);
  }
}
