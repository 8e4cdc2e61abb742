/**
 * Message ids: `<prefix>/<Index>/<Topic>/<Namespace>/<Key>/<n>`, the same for each repeat of an event (for the prefix
 * see id-prefix.ts). n counts repeats of the rest within one raft index, which may come in several frames; it has to
 * come out the same when Nomad sends them again after a reconnect.
 */
import { createHash } from 'node:crypto';

const maxBytes = 255;

/** The id without its ordinal. */
export interface EventIdentity {
  readonly topic: string;
  readonly namespace: string;
  readonly key: string;
}

export function messageId(stem: string, ordinal: number | 'snapshot'): string {
  return boundId(`${stem}/${String(ordinal)}`);
}

/** At most 255 bytes: a longer id is replaced by its SHA-256. */
export function boundId(id: string): string {
  if (id.length * 3 <= maxBytes || Buffer.byteLength(id) <= maxBytes) return id;
  return createHash('sha256').update(id).digest('hex');
}

export function idStem(prefix: string, index: number, { topic, namespace, key }: EventIdentity): string {
  return `${prefix}/${String(index)}/${topic}/${namespace}/${key}`;
}

interface NumberedFrame {
  readonly stems: readonly string[];
  readonly ordinals: readonly number[];
}

export interface Ordinals {
  /** What follows may repeat frames of the newest index, from the first of them that Nomad still has. */
  streamOpened(): void;
  /** The ordinal of each event of the next frame. */
  number(index: number, stems: readonly string[]): readonly number[];
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((stem, position) => stem === b[position]);
}

/**
 * Remembers the frames of the newest index, so that a frame seen again gets the ordinals it had even when the frames
 * before it have left Nomad's buffer meanwhile. A new process has no such memory: it counts from the first frame it
 * sees.
 */
export function createOrdinals(): Ordinals {
  let newest: number | undefined;
  let frames: NumberedFrame[] = [];
  let counts = new Map<string, number>();
  /** How many of `frames` the open stream is past. */
  let passed = 0;

  function count(stem: string): number {
    const ordinal = counts.get(stem) ?? 0;
    counts.set(stem, ordinal + 1);
    return ordinal;
  }

  return {
    streamOpened() {
      passed = 0;
    },
    number(index, stems) {
      if (index !== newest) {
        newest = index;
        frames = [];
        counts = new Map();
        passed = 0;
      }
      const known = frames.findIndex((frame, position) => position >= passed && isSame(frame.stems, stems));
      const seen = frames[known];
      if (seen !== undefined) {
        passed = known + 1;
        return seen.ordinals;
      }
      const ordinals = stems.map(count);
      frames.push({ stems, ordinals });
      passed = frames.length;
      return ordinals;
    },
  };
}
