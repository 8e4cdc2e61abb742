/**
 * Reads the records of one segment in order, in large pieces, checking each. Bodies are views of those pieces. What is
 * damaged is passed over and reported: the reader goes on at the next intact head, whose position says what is missing.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { decodeRecord, isIntact, readHead, recordHeadBytes, recordMagic, type RecordHead } from './record-codec.ts';
import type { SpoolRecord } from '../spool.ts';

const pieceBytes = 1024 * 1024;
const nothing = Buffer.alloc(0);

/** The byte at which a record begins. */
export interface Place {
  readonly position: number;
  readonly offset: number;
}

/** Bytes of a segment that are no record. */
export interface Damage {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
  /** Position of the first record that is lost, and of the last; undefined: not known, the segment ends here. */
  readonly from: number;
  readonly to: number | undefined;
}

/** What is read; `size` and `last` may grow meanwhile. */
interface Readable {
  readonly path: string;
  readonly first: number;
  readonly size: number;
  readonly places: readonly Place[];
}

export class SegmentReader {
  readonly #handle: FileHandle;
  readonly #segment: Readable;
  readonly #onDamage: (damage: Damage) => void;
  #piece: Buffer = nothing;
  #pieceOffset = 0;
  /**
   * Where the next record begins in `#piece`; its head, when it is there whole and intact; whether all of the record
   * is.
   */
  #at = 0;
  #head: RecordHead | undefined;
  #isWhole = false;
  #position: number;

  private constructor(handle: FileHandle, segment: Readable, onDamage: (damage: Damage) => void) {
    this.#handle = handle;
    this.#segment = segment;
    this.#onDamage = onDamage;
    this.#position = segment.first;
  }

  static async open(segment: Readable, onDamage: (damage: Damage) => void): Promise<SegmentReader> {
    return new SegmentReader(await open(segment.path, 'r'), segment, onDamage);
  }

  /** Position of the next record, as far as is known: behind damage it may be a later one. */
  get position(): number {
    return this.#position;
  }

  /** Byte of the file at which the next record begins. */
  get offset(): number {
    return this.#pieceOffset + this.#at;
  }

  /** True when the next record can be taken without reading the file. */
  get isLoaded(): boolean {
    return this.#isWhole;
  }

  /** Makes sure that the next record is loaded, damage before it passed; false at the end of the segment. */
  async load(): Promise<boolean> {
    while (!this.#isWhole) {
      const { offset } = this;
      const available = this.#segment.size - offset;
      if (available === 0) return false;
      const needed = this.#head?.size ?? recordHeadBytes;
      if (needed <= available && this.#piece.length - this.#at < needed)
        await this.#loadPiece(offset, Math.max(needed, Math.min(pieceBytes, available)));
      else if (!(await this.#passDamage(offset))) return false;
    }
    return true;
  }

  /** The next record; undefined where its content is damaged, which is reported. It must be loaded. */
  take(): SpoolRecord | undefined {
    const { position, size } = this.#loaded();
    const end = this.#at + size;
    const record = isIntact(this.#piece, this.#at, end)
      ? { position, message: decodeRecord(this.#piece, this.#at, end) }
      : undefined;
    if (record === undefined)
      this.#onDamage({ path: this.#segment.path, offset: this.offset, bytes: size, from: position, to: position });
    this.#moveTo(end, position + 1);
    return record;
  }

  /** Passes the records before `position` without checking or decoding their content. */
  async skipTo(position: number): Promise<void> {
    const place = this.#segment.places.findLast((one) => one.position <= position);
    if (place !== undefined && place.position > this.#position) this.#jumpTo(place);
    while (this.#position < position && (await this.load()) && this.#position < position)
      this.#moveTo(this.#at + this.#loaded().size, this.#position + 1);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #loaded(): RecordHead {
    if (!this.#isWhole || this.#head === undefined) throw new Error('Expected a record to be loaded');
    return this.#head;
  }

  #jumpTo({ position, offset }: Place): void {
    this.#piece = nothing;
    this.#pieceOffset = offset;
    this.#position = position;
    this.#moveTo(0, position);
  }

  /** `position`: of the record that begins at `at` of the piece. */
  #moveTo(at: number, position: number): void {
    this.#at = at;
    this.#position = position;
    this.#readHead();
  }

  /** n.b. a head with an earlier position is a copy of something, not the record that belongs here. */
  #readHead(): void {
    const head = readHead(this.#piece, this.#at);
    this.#head = head !== undefined && head.position >= this.#position ? head : undefined;
    this.#isWhole = this.#head !== undefined && this.#at + this.#head.size <= this.#piece.length;
    if (this.#isWhole && this.#head !== undefined) this.#position = this.#head.position;
  }

  async #loadPiece(offset: number, length: number): Promise<void> {
    const piece = await this.#readBytes(offset, length);
    this.#piece = piece;
    this.#pieceOffset = offset;
    this.#moveTo(0, this.#position);
    // The file is shorter than it was: somebody else cut it.
    if (piece.length < length && !this.#isWhole) await this.#passDamage(offset);
  }

  /**
   * No record begins at `from`: moves to the next one that does, or to the end, and reports what lies between. False at
   * the end.
   */
  async #passDamage(from: number): Promise<boolean> {
    const expected = this.#position;
    const found = await this.#findHead(from + 1, expected);
    const end = found?.offset ?? this.#segment.size;
    this.#onDamage({
      path: this.#segment.path,
      offset: from,
      bytes: end - from,
      from: expected,
      to: found === undefined ? undefined : found.position - 1,
    });
    this.#jumpTo({ offset: end, position: found?.position ?? expected });
    return found !== undefined;
  }

  /** The first intact head from `offset` on, of `position` or later, whose record the segment can hold. */
  async #findHead(offset: number, position: number): Promise<Place | undefined> {
    const { size } = this.#segment;
    for (let start = offset; start + recordHeadBytes <= size;) {
      const piece = await this.#readBytes(start, Math.min(pieceBytes, size - start));
      if (piece.length < recordHeadBytes) return undefined;
      for (let at = piece.indexOf(recordMagic); at !== -1; at = piece.indexOf(recordMagic, at + 1)) {
        const head = readHead(piece, at);
        if (head !== undefined && head.position >= position && start + at + head.size <= size)
          return { offset: start + at, position: head.position };
      }
      // The heads of two pieces in a row overlap, so that none is cut in two.
      start += piece.length - recordHeadBytes + 1;
    }
    return undefined;
  }

  async #readBytes(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await this.#handle.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  }
}
