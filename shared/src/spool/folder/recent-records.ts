/**
 * The newest records, kept in memory up to a number of bytes: a cursor that keeps up takes them here instead of reading
 * them back from the disk.
 */
import type { Message } from '../../messages/message.ts';
import type { SpoolRecord } from '../spool.ts';

interface Batch {
  readonly first: number;
  readonly messages: readonly Message[];
  readonly bytes: number;
}

export class RecentRecords {
  readonly #maxBytes: number;
  readonly #batches: Batch[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds what was written, in the order of positions. */
  add(batch: Batch): void {
    this.#batches.push(batch);
    this.#bytes += batch.bytes;
    while (this.#bytes > this.#maxBytes) this.#bytes -= this.#batches.shift()?.bytes ?? 0;
  }

  /** Position of the oldest record that is kept here. */
  get first(): number | undefined {
    return this.#batches[0]?.first;
  }

  /** The records from `position` on, within the limits; empty when that one is not kept here. */
  from(
    position: number,
    { maxRecords, maxBytes }: { readonly maxRecords: number; readonly maxBytes: number },
  ): SpoolRecord[] {
    const records: SpoolRecord[] = [];
    let next = position;
    let bytes = 0;
    for (let index = this.#indexOf(position); index >= 0 && index < this.#batches.length; index += 1) {
      const { first = 0, messages = [] } = this.#batches[index] ?? {};
      for (const message of messages.slice(next - first)) {
        if (records.length >= maxRecords || bytes >= maxBytes) return records;
        records.push({ position: next, message });
        bytes += message.body.length;
        next += 1;
      }
    }
    return records;
  }

  #indexOf(position: number): number {
    return this.#batches.findLastIndex(
      ({ first, messages }) => first <= position && position < first + messages.length,
    );
  }
}
