/** The errors of the log, each with what to do about it. */
import { HydrantError } from '../foundation/errors.ts';

/** The folder cannot be written or read just now: no space, no permission, closed. */
export function spoolUnavailable(message: string, cause?: unknown): HydrantError {
  return new HydrantError(message, { code: 'spool-unavailable', retryable: true, cause });
}

/** `append` was told to stop waiting for room. */
export function spoolFull(maxBytes: number, slowest: string | null): HydrantError {
  const holder = slowest === null ? 'no cursor reads it' : `its slowest cursor is "${slowest}"`;
  return new HydrantError(
    `Expected the log to have room within its ${maxBytes} bytes, but ${holder}; gave up waiting`,
    { code: 'spool-full', retryable: true },
  );
}

/** The file of the cursors is damaged. Nothing was changed. */
export function spoolCorrupt(path: string): HydrantError {
  return new HydrantError(
    `Expected ${path} to say where the cursors stand, but its checksum is wrong. Start Hydrant once, which then begins at the oldest record that is in the log and writes the file anew`,
    { code: 'spool-corrupt', retryable: false },
  );
}

/** The file that says whose log it is has gone, and the records are there. Nothing was changed. */
export function spoolUnlabelled(path: string, label: string): HydrantError {
  return new HydrantError(
    `Expected ${path} to say whose log the segments beside it are, it is missing or damaged. Restore it from a backup; if you know that this log is the right one, write this line into it: ${label}`,
    { code: 'spool-unlabelled', retryable: false },
  );
}

export function spoolFormat(path: string, expected: number, found: string): HydrantError {
  return new HydrantError(
    `Expected ${path} to say format ${expected}, got ${found}. Another version of Hydrant wrote this folder: let that version empty it, or point to a folder of its own`,
    { code: 'spool-format', retryable: false },
  );
}

/** The folder holds somebody else's records. Nothing was changed. */
export function spoolForeign(path: string, expected: string | undefined, found: string | undefined): HydrantError {
  return new HydrantError(
    `Expected ${path} to say that the log is ${expected ?? "nobody's in particular"}, it says ${found ?? 'nothing of whose it is'}. Nothing was changed: ` +
      'point to a folder of its own, or let the one it belongs to empty it',
    { code: 'spool-foreign', retryable: false },
  );
}

export function spoolLocked(dir: string, holder: string): HydrantError {
  return new HydrantError(
    `Expected to be the only user of ${dir}, but ${holder} has it open. Stop that process, or give each process a folder of its own`,
    { code: 'spool-locked', retryable: false },
  );
}
