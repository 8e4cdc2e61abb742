/** The logger of every service: pino on stderr (stdout belongs to the sink of that name), JSON by default, text for people. */
import { destination, pino, stdTimeFunctions, type Logger as PinoLogger } from 'pino';
import pretty from 'pino-pretty';

export type Logger = PinoLogger;

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'text' | 'pretty';
  readonly service: string;
}

const stderr = 2;

export function createLogger({ level, format, service }: LoggerOptions): Logger {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (format === 'json') return pino(options, destination({ dest: stderr, sync: true }));
  const stream = pretty({ colorize: format === 'pretty', ignore: 'service', singleLine: true, translateTime: 'HH:MM:ss.l', destination: stderr, sync: true });
  return pino(options, stream);
}
