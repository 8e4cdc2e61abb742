/** The logger that tests hand to components: silent, unless HYDRANT_TEST_LOG names a level (`debug`). */
import { pino } from 'pino';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';

export function testLog(): Logger {
  const level = process.env['HYDRANT_TEST_LOG'] ?? '';
  // To stderr: tap reads what a test file writes to stdout.
  return pino({ level: level === '' ? 'silent' : level, base: {} }, pino.destination({ dest: 2, sync: true }));
}

export interface LogLine {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface RecordingLog {
  readonly log: Logger;
  /** What was logged so far, oldest first. */
  readonly lines: readonly LogLine[];
}

/** A logger for tests that look at what was said. */
export function recordingLog(level: LogLine['level'] = 'debug'): RecordingLog {
  const lines: LogLine[] = [];
  const log = pino(
    { level, base: {}, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => { lines.push(JSON.parse(line) as LogLine); } },
  );
  return { log, lines };
}
