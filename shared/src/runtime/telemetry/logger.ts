/**
 * The logger of every service: pino on stderr (stdout belongs to the sink of that name), JSON by default, text for
 * people.
 */
import {
  destination,
  pino,
  stdSerializers,
  stdTimeFunctions,
  type DestinationStream,
  type Logger as PinoLogger,
} from 'pino';
import pretty from 'pino-pretty';
import { describeError, errorCode } from '../../foundation/errors.ts';
import { makeTerminalSafe } from '../../foundation/visible-text.ts';

export type Logger = PinoLogger;

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'text' | 'pretty';
  readonly service: string;
  /** In place of stderr. */
  readonly out?: DestinationStream;
}

const stderr = 2;

function isVerbose(level: string): boolean {
  return level === 'debug' || level === 'trace';
}

/**
 * An error with a code was foreseen: what it says and why is enough, at `debug` with its stack. One without is a
 * surprise, and always has it. As text it is one line.
 */
function makeErrorSerializer({ level, format }: LoggerOptions): (thrown: unknown) => unknown {
  const showsStacks = isVerbose(level);
  return (thrown) => {
    if (!(thrown instanceof Error)) return thrown;
    const code = errorCode(thrown);
    if (showsStacks || code === undefined) return stdSerializers.err(thrown);
    if (format !== 'json') return `${describeError(thrown)} (${code})`;
    return {
      ...stdSerializers.err(thrown),
      message: describeError(thrown),
      stack: undefined,
      aggregateErrors: undefined,
    };
  };
}

/** Names and answers of others go into lines, and people read those on a terminal. */
export function createLogger(given: LoggerOptions): Logger {
  const { level, format, service, out } = given;
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: format === 'json' ? makeTerminalSafe : showEscapes },
    serializers: { err: makeErrorSerializer(given) },
  };
  if (format === 'json') return pino(options, out ?? destination({ dest: stderr, sync: true }));
  // n.b. pino-pretty gives these keys lines of their own, whatever they hold, and so it does with pino's errorKey:
  // `err` is to be neither.
  const keys = isVerbose(level) ? {} : { errorLikeObjectKeys: [], errorKey: 'thrown' };
  const stream = pretty({
    ...keys,
    colorize: format === 'pretty',
    ignore: 'service',
    singleLine: true,
    translateTime: 'HH:MM:ss.l',
    destination: out ?? stderr,
    sync: true,
  });
  return pino({ ...options, ...keys }, stream);
}

/**
 * n.b. The text form prints what the JSON stands for: there an escape has to stand for itself. Its ends of lines stay,
 * as in stacks.
 */
function showEscapes(line: string): string {
  return makeTerminalSafe(line).replaceAll(/\\(?:u[0-9a-fA-F]{4}|.)/gu, (escape) =>
    /^\\[ubfr]/u.test(escape) ? `\\${escape}` : escape,
  );
}
