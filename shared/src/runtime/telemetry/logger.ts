/** The logger of every service: pino on stderr (stdout belongs to the sink of that name), JSON by default, text for people. */
import type { Writable } from 'node:stream';
import { destination, pino, stdTimeFunctions, type Logger as PinoLogger } from 'pino';
import pretty from 'pino-pretty';
import { makeTerminalSafe } from '../../foundation/visible-text.ts';

export type Logger = PinoLogger;

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'text' | 'pretty';
  readonly service: string;
}

const stderr = 2;

/** Names and answers of others go into lines, and people read those on a terminal. `output` is for tests. */
export function createLogger({ level, format, service }: LoggerOptions, output?: Writable): Logger {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: format === 'json' ? makeTerminalSafe : showEscapes },
  };
  if (format === 'json') return pino(options, output ?? destination({ dest: stderr, sync: true }));
  const stream = pretty({ colorize: format === 'pretty', ignore: 'service', singleLine: true, translateTime: 'HH:MM:ss.l', destination: output ?? stderr, sync: true });
  return pino(options, stream);
}

/** n.b. The text form prints what the JSON stands for: there an escape has to stand for itself. Its ends of lines stay, as in stacks. */
function showEscapes(line: string): string {
  return makeTerminalSafe(line).replaceAll(/\\(?:u[0-9a-fA-F]{4}|.)/gu, (escape) => (/^\\[ubfr]/u.test(escape) ? `\\${escape}` : escape));
}
