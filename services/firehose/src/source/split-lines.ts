/**
 * Splits a stream of bytes into lines. The parts of a line are collected and put together once; a line inside one chunk is a slice of it.
 * What follows the last newline is never handed out: a cut line looks like a clean end.
 */
export interface LineVisitor {
  /** A whole line without its newline. */
  line(bytes: Buffer): void;
  /** A line of more than `maxLineBytes`, whose bytes were dropped as they came. */
  overlong(length: number): void;
}

export interface LineSplitter {
  push(chunk: Buffer): void;
}

const newline = 0x0a;

export function createLineSplitter(maxLineBytes: number, visitor: LineVisitor): LineSplitter {
  let parts: Buffer[] = [];
  let length = 0;

  function collect(part: Buffer): void {
    length += part.length;
    if (length > maxLineBytes) parts = [];
    else if (part.length > 0) parts.push(part);
  }

  function finish(): void {
    const [only] = parts;
    if (length > maxLineBytes) visitor.overlong(length);
    else visitor.line(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, length));
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
