/**
 * A body that is put together while it is sent. Whole bodies of several megabytes, four at a time, outlive the young
 * generation and then wait for a full collection; pieces of this size do not.
 */
const pieceBytes = 256 * 1024;

export function byteLength(parts: readonly Buffer[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}

export function* inPieces(parts: readonly Buffer[]): Generator<Buffer> {
  let piece: Buffer[] = [];
  let bytes = 0;
  for (const part of parts) {
    piece.push(part);
    bytes += part.length;
    if (bytes < pieceBytes) continue;
    yield Buffer.concat(piece, bytes);
    piece = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(piece, bytes);
}
