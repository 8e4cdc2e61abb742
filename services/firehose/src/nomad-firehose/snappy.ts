/**
 * Unpacks snappy's block format, in which Nomad keeps the payloads of dispatched jobs; its lists unpack them, its event
 * stream does not.
 */

/** Nomad takes payloads of at most 16 KiB. */
const maxBytes = 1024 * 1024;

interface Varint {
  readonly value: number;
  readonly end: number;
}

function readVarint(packed: Buffer): Varint | undefined {
  let value = 0;
  for (let at = 0; at < 5; at += 1) {
    const byte = packed[at];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

function readNumber(packed: Buffer, at: number, bytes: number): number | undefined {
  return at + bytes <= packed.length ? packed.readUIntLE(at, bytes) : undefined;
}

/**
 * A piece of the output: `length` bytes that stand in the input at `from`, or that were written `distance` bytes ago.
 */
interface Piece {
  readonly length: number;
  readonly from?: number;
  readonly distance?: number;
  /** Where the next piece begins in the input. */
  readonly end: number;
}

function readPiece(packed: Buffer, at: number): Piece | undefined {
  const tag = packed[at] ?? 0;
  const kind = tag & 3;
  const upper = tag >>> 2;
  if (kind === 0) {
    const extra = Math.max(0, upper - 59);
    const length = extra === 0 ? upper : readNumber(packed, at + 1, extra);
    if (length === undefined) return undefined;
    const from = at + 1 + extra;
    return { length: length + 1, from, end: from + length + 1 };
  }
  const width = kind === 1 ? 1 : kind === 2 ? 2 : 4;
  const low = readNumber(packed, at + 1, width);
  if (low === undefined) return undefined;
  const end = at + 1 + width;
  return kind === 1
    ? { length: (upper & 7) + 4, distance: low + (tag >>> 5) * 256, end }
    : { length: upper + 1, distance: low, end };
}

/** Undefined when the bytes are no such block, or one of more than a mebibyte. */
export function unpackSnappy(packed: Buffer): Buffer | undefined {
  const size = readVarint(packed);
  if (size === undefined || size.value > maxBytes) return undefined;
  const unpacked = Buffer.alloc(size.value);
  let written = 0;
  for (let at = size.end; at < packed.length;) {
    const piece = readPiece(packed, at);
    if (piece === undefined || written + piece.length > unpacked.length) return undefined;
    if (piece.from !== undefined) {
      if (piece.end > packed.length) return undefined;
      packed.copy(unpacked, written, piece.from, piece.end);
    } else {
      const distance = piece.distance ?? 0;
      if (distance === 0 || distance > written) return undefined;
      // n.b. byte by byte: what is copied may reach into what is being written.
      for (let i = written; i < written + piece.length; i += 1) unpacked[i] = unpacked[i - distance] ?? 0;
    }
    written += piece.length;
    at = piece.end;
  }
  return written === unpacked.length ? unpacked : undefined;
}
