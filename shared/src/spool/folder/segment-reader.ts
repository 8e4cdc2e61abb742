/** Reads the records of one segment in order, in large pieces, checking each. Bodies are views of those pieces. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { decodeRecord, isIntact, recordEnd, recordHeadBytes } from './record-codec.ts';
import { spoolCorrupt } from '../spool-errors.ts';
import type { SpoolRecord } from '../spool.ts';

const pieceBytes = 1024 * 1024;
const nothing = Buffer.alloc(0);

/** The byte at which a record begins. */
export interface Place {
  readonly position: number;
  readonly offset: number;
}

/** What is read; `size` may grow meanwhile. */
interface Readable {
  readonly path: string;
  readonly first: number;
  readonly size: number;
  readonly places: readonly Place[];
}

export class SegmentReader {
  readonly #handle: FileHandle;
  readonly #segment: Readable;
  #piece: Buffer = nothing;
  #pieceOffset = 0;
  /** Where the next record begins in `#piece`, and where it ends when all of it is there. */
  #at = 0;
  #end: number | undefined;
  #position: number;

  private constructor(handle: FileHandle, segment: Readable) {
    this.#handle = handle;
    this.#segment = segment;
    this.#position = segment.first;
  }

  static async open(segment: Readable): Promise<SegmentReader> {
    return new SegmentReader(await open(segment.path, 'r'), segment);
  }

  /** Position of the next record. */
  get position(): number {
    return this.#position;
  }

  /** Byte of the file at which the next record begins. */
  get offset(): number {
    return this.#pieceOffset + this.#at;
  }

  /** True when the next record can be taken without reading the file. */
  get isLoaded(): boolean {
    return this.#end !== undefined;
  }

  /** Makes sure that the next record is loaded; false at the end of the segment. Throws `spool-corrupt` where the file ends inside a record. */
  async load(): Promise<boolean> {
    while (this.#end === undefined) {
      const offset = this.offset;
      const available = this.#segment.size - offset;
      if (available === 0) return false;
      const end = recordEnd(this.#piece, this.#at);
      const needed = end === undefined ? recordHeadBytes : end - this.#at;
      if (needed > available) throw spoolCorrupt(this.#segment.path, offset, `${available} of ${needed} bytes`);
      await this.#readPiece(offset, needed, Math.max(needed, Math.min(pieceBytes, available)));
    }
    return true;
  }

  /** The next record, checked. It must be loaded. */
  take(): SpoolRecord {
    const end = this.#end ?? this.#at;
    if (!isIntact(this.#piece, this.#at, end)) throw spoolCorrupt(this.#segment.path, this.offset, 'one whose checksum is wrong');
    const record = { position: this.#position, message: decodeRecord(this.#piece, this.#at, end) };
    this.#moveTo(end);
    return record;
  }

  /** Passes the records before `position` without checking or decoding them. */
  async skipTo(position: number): Promise<void> {
    const place = this.#segment.places.findLast((one) => one.position <= position);
    if (place !== undefined && place.position > this.#position) this.#jumpTo(place);
    while (this.#position < position && await this.load()) this.#moveTo(this.#end ?? this.#at);
  }

  /** True when an intact record begins where the damaged one says that it ends. */
  async hasIntactSuccessor(): Promise<boolean> {
    const damagedEnd = recordEnd(this.#piece, this.#at);
    if (damagedEnd === undefined) return false;
    const offset = this.#pieceOffset + damagedEnd;
    const head = await this.#readBytes(offset, recordHeadBytes);
    const end = recordEnd(head, 0);
    if (end === undefined || offset + end > this.#segment.size) return false;
    const record = await this.#readBytes(offset, end);
    return record.length === end && isIntact(record, 0, end);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #jumpTo({ position, offset }: Place): void {
    this.#piece = nothing;
    this.#pieceOffset = offset;
    this.#at = 0;
    this.#end = undefined;
    this.#position = position;
  }

  #moveTo(end: number): void {
    this.#position += 1;
    this.#at = end;
    this.#findEnd();
  }

  #findEnd(): void {
    const end = recordEnd(this.#piece, this.#at);
    this.#end = end !== undefined && end <= this.#piece.length ? end : undefined;
  }

  async #readPiece(offset: number, needed: number, length: number): Promise<void> {
    const piece = await this.#readBytes(offset, length);
    if (piece.length < needed) throw spoolCorrupt(this.#segment.path, offset, `${piece.length} of ${needed} bytes`);
    this.#piece = piece;
    this.#pieceOffset = offset;
    this.#at = 0;
    this.#findEnd();
  }

  async #readBytes(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await this.#handle.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  }
}
