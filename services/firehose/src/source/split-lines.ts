/**
 * Splits a stream of bytes into lines. The parts of a line are collected and put together once; a line inside one chunk
 * is a slice of it. What follows the last newline is never handed out: a cut line looks like a clean end.
 */
export interface LineVisitor {
  /** A whole line without its newline. */
  line(bytes: Buffer): void;
  /**
   * The line that is being read has more than `maxLineBytes`: its bytes are dropped, and so are those that follow up to
   * its newline.
   */
  overlong(): void;
  /** It still has no end after `overlongLimits` times that. */
  endless(bytes: number): void;
}

export interface LineSplitter {
  push(chunk: Buffer): void;
}

const newline = 0x0a;
/** How many times `maxLineBytes` are read in search of the end of a line. */
export const overlongLimits = 4;

export function createLineSplitter(maxLineBytes: number, visitor: LineVisitor): LineSplitter {
  let parts: Buffer[] = [];
  let length = 0;

  function collect(part: Buffer): void {
    const before = length;
    length += part.length;
    if (length <= maxLineBytes) {
      if (part.length > 0) parts.push(part);
      return;
    }
    parts = [];
    if (before <= maxLineBytes) visitor.overlong();
    const limit = maxLineBytes * overlongLimits;
    if (before <= limit && length > limit) visitor.endless(length);
  }

  function finish(): void {
    const [only] = parts;
    if (length <= maxLineBytes)
      visitor.line(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, length));
    parts = [];
    length = 0;
  }

  return {
    push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
        collect(chunk.subarray(start, end));
        finish();
        start = end + 1;
      }
      if (start < chunk.length) collect(chunk.subarray(start));
    },
  };
}
