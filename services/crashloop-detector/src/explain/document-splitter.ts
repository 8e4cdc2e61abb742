/**
 * From the lines of a file to the JSON documents in it: one on each line, several behind one another, or one over many
 * lines as people print them. A list gives its members.
 */
import { forEachElement } from '@hydrant/shared/foundation/json-scanner';

export interface FoundDocument {
  readonly bytes: Buffer;
  /** Where it begins, from 1. */
  readonly line: number;
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);
/** More than the firehose takes for one frame. */
const maxBytes = 64 * 1024 * 1024;

export class DocumentSplitter {
  #line = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #depth = 0;
  #firstLine = 0;

  /** The documents that end with this line. What is no JSON comes as it is, for whoever reads it to refuse. */
  take(line: Buffer): readonly FoundDocument[] {
    this.#line += 1;
    const bytes = this.#line === 1 && line.subarray(0, 3).equals(byteOrderMark) ? line.subarray(3) : line;
    if (this.#pending.length === 0) return this.#begin(bytes);
    // n.b. A document that was cut off in the middle must not take the rest of the file with it.
    const isFresh = bytes[0] === 0x7b && scan(bytes).isWhole;
    if (isFresh || this.#pendingBytes > maxBytes) return [...this.end(), ...this.#begin(bytes)];
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length + 1;
    // n.b. No text of JSON goes on in the next line.
    this.#depth += scan(bytes).depth;
    return this.#depth <= 0 ? this.#finish(join(this.#pending)) : [];
  }

  /** What has begun and not ended. */
  end(): readonly FoundDocument[] {
    if (this.#pending.length === 0) return [];
    const rest = join(this.#pending);
    this.#pending = [];
    return [{ bytes: rest, line: this.#firstLine }];
  }

  #begin(bytes: Buffer): readonly FoundDocument[] {
    const first = firstByte(bytes);
    if (first === undefined) return [];
    this.#firstLine = this.#line;
    if (first !== 0x7b && first !== 0x5b) return [{ bytes, line: this.#line }];
    this.#depth = scan(bytes).depth;
    if (this.#depth <= 0) return this.#finish(bytes);
    this.#pending = [bytes];
    this.#pendingBytes = bytes.length;
    return [];
  }

  #finish(bytes: Buffer): readonly FoundDocument[] {
    this.#pending = [];
    const line = this.#firstLine;
    return scan(bytes).documents.flatMap((document) => membersOf(document).map((one) => ({ bytes: one, line })));
  }
}

interface Scanned {
  readonly documents: readonly Buffer[];
  /** So many more brackets open than close. */
  readonly depth: number;
  /** Nothing but documents, and blanks between them. */
  readonly isWhole: boolean;
}

/** Where brackets at the top open and close; what is no JSON between them is a document of its own. */
function scan(bytes: Buffer): Scanned {
  const documents: Buffer[] = [];
  let [depth, open, start, isText, isWhole] = [0, 0, 0, false, true];
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i];
    if (isText) {
      if (byte === 0x5c) i += 1;
      else if (byte === 0x22) isText = false;
    } else if (byte === 0x22) isText = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      open += 1;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
      open = Math.max(0, open - 1);
      if (open > 0) continue;
      documents.push(bytes.subarray(start, i + 1));
      start = i + 1;
    }
  }
  if (firstByte(bytes.subarray(start)) !== undefined) {
    isWhole = false;
    documents.push(bytes.subarray(start));
  }
  return { documents, depth, isWhole: isWhole && depth === 0 && !isText };
}

function membersOf(document: Buffer): readonly Buffer[] {
  if (firstByte(document) !== 0x5b) return [document];
  const members: Buffer[] = [];
  try {
    forEachElement(document, document.indexOf(0x5b), (from, to) => {
      members.push(document.subarray(from, to));
    });
  } catch {
    // n.b. Whoever reads it says what is wrong with it.
    return [document];
  }
  return members;
}

function firstByte(bytes: Buffer): number | undefined {
  return bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
}

function join(lines: readonly Buffer[]): Buffer {
  return Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')]));
}
