/** Loggers for tests: one that is silent unless HYDRANT_TEST_LOG names a level (`debug`), one that keeps its lines. */
import { createLogger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

export type LogLevel = (typeof levels)[number];

export interface LogLine {
  readonly level: LogLevel;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface RecordingLog {
  readonly log: Logger;
  /** What was logged so far, oldest first; fields as they were given. */
  readonly lines: readonly LogLine[];
}

export function testLog(): Logger {
  const level = process.env['HYDRANT_TEST_LOG'] ?? '';
  return createLogger({ level: level === '' ? 'silent' : level, format: 'json', service: 'test' });
}

/** For tests that look at what was said at `lowest` and above. */
export function recordingLog(lowest: LogLevel = 'debug'): RecordingLog {
  const lines: LogLine[] = [];
  return { log: makeLog(lines, levels.indexOf(lowest), {}), lines };
}

/** The part of pino that the project calls: the six levels and `child`. */
function makeLog(lines: LogLine[], lowest: number, bindings: Readonly<Record<string, unknown>>): Logger {
  const methods = levels.map(
    (level, rank) =>
      [
        level,
        (...given: readonly unknown[]) => {
          if (rank >= lowest) lines.push(makeLine(level, bindings, given));
        },
      ] as const,
  );
  const child = (more: Readonly<Record<string, unknown>>): Logger => makeLog(lines, lowest, { ...bindings, ...more });
  return { level: levels[lowest], ...Object.fromEntries(methods), child } as unknown as Logger;
}

function makeLine(level: LogLevel, bindings: Readonly<Record<string, unknown>>, given: readonly unknown[]): LogLine {
  const [first, second] = given;
  if (typeof first === 'string') return { ...bindings, level, msg: first };
  const fields = first instanceof Error ? { err: first } : (first as Record<string, unknown>);
  return { ...bindings, ...fields, level, msg: typeof second === 'string' ? second : '' };
}
