/**
 * The port of the log with cursors. Two adapters: in memory (bounded) and in a folder (checksummed segments).
 * A record is one bus message; its position counts up from 1 and never goes back within a folder's life.
 */
import type { Message } from '../messages/message.ts';

export interface SpoolRecord {
  readonly position: number;
  readonly message: Message;
}

export interface Cursor {
  readonly name: string;
  /**
   * The next records in order, at least one and at most `maxRecords` (about `maxBytes`), waiting for them if need be.
   * Resolves to an empty list only when `signal` aborts, or when it passed positions that are lost and nothing follows
   * them yet. One call at a time.
   */
  read(
    limits: { readonly maxRecords: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<readonly SpoolRecord[]>;
  /** Goes back so that the next `read` begins at `position` (never before the committed one). */
  rewind(position: number): void;
  /**
   * Everything up to and with `position` is done with. Lower values than before are ignored. Kept on disk soon after
   * (folder).
   */
  commit(position: number): void;
  /** The last committed position, 0 at the beginning. */
  readonly committed: number;
  /** Records appended and not committed here. */
  readonly lag: number;
  /** Bytes appended and not committed here. */
  readonly lagBytes: number;
}

export interface Spool {
  /** Opens or makes the log; cuts off a torn tail. */
  open(): Promise<void>;
  /**
   * Resolves with the last record's position when the records are kept (in memory: at once; folder: on disk). Above
   * `maxBytes` it waits until the slowest cursor has moved on, or rejects when `signal` aborts; with `evenWhenFull` it
   * does not wait. May be called many times at once; the order of calls is the order of records.
   */
  append(
    messages: readonly Message[],
    signal?: AbortSignal,
    options?: { readonly evenWhenFull?: boolean },
  ): Promise<number>;
  /**
   * The cursor of that name, made at the end of the log (`from: 'end'`) or its oldest record (`'start'`, default) where
   * it does not exist.
   */
  cursor(name: string, options?: { readonly from?: 'start' | 'end' }): Cursor;
  /** Every cursor there is, also those that nobody has asked for since the log was opened. */
  cursors(): readonly Cursor[];
  /** Forgets a cursor, so that it holds no segment back. */
  removeCursor(name: string): Promise<void>;
  /** Position of the newest record, 0 when there was none. */
  readonly last: number;
  /** Bytes held. */
  readonly bytes: number;
  readonly maxBytes: number;
  /**
   * Called when `append` begins to wait, with the cursor that holds it up (empty: there is none), and when it goes on
   * (null).
   */
  onFull(listener: (slowest: string | null) => void): void;
  /** Writes out what is pending and closes. Safe to call twice. */
  close(): Promise<void>;
}
