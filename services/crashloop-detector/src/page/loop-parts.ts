/**
 * The list of loops in parts of bounded size, however many there are and whatever they are called. A part begins behind
 * the loop that a token names; in the order of opening, which no later crash changes, so that nobody misses a loop when
 * others come and go meanwhile. Pure.
 */
import { makeAnswer, type Answer } from './answer.ts';

export interface WrittenLoop {
  readonly alertId: string;
  readonly openedAtUs: number;
  readonly json: string;
  /** Of the JSON. */
  readonly bytes: number;
}

const mostPartBytes = 512 * 1024;

export class LoopParts {
  readonly #loops: readonly WrittenLoop[];
  /** Where the parts begin that lead from the first loop to the last. */
  readonly #starts = new Set<number>();
  /** Of these parts only, so that what is kept has a bound, whatever is asked for. */
  readonly #answers = new Map<number, Answer>();

  constructor(loops: readonly WrittenLoop[]) {
    this.#loops = loops.toSorted(byOpening);
    for (let start = 0; start < loops.length; start = this.#endOf(start)) this.#starts.add(start);
  }

  isOf(loops: readonly WrittenLoop[]): boolean {
    const known = new Set(this.#loops);
    return loops.length === known.size && loops.every((loop) => known.has(loop));
  }

  /** `head` holds the fields before the loops. */
  first(head: object): Answer {
    return this.#write(head, 0);
  }

  /** Undefined for a token that is none. */
  after(token: string, head: object): Answer | undefined {
    const [, us, alertId] = /^(\d{1,16})-(.{1,200})$/su.exec(token) ?? [];
    if (us === undefined || alertId === undefined) return undefined;
    const place = { openedAtUs: Number(us), alertId };
    const found = this.#loops.findIndex((loop) => byOpening(loop, place) > 0);
    const start = found === -1 ? this.#loops.length : found;
    const answer = this.#answers.get(start) ?? this.#write(head, start);
    if (this.#starts.has(start)) this.#answers.set(start, answer);
    return answer;
  }

  #write(head: object, start: number): Answer {
    const end = this.#endOf(start);
    const last = this.#loops[end - 1];
    const next = last === undefined || end === this.#loops.length ? null : `${String(last.openedAtUs)}-${last.alertId}`;
    const fields = JSON.stringify({ ...head, next }).slice(0, -1);
    return makeAnswer(
      200,
      `${fields},"loops":[${this.#loops
        .slice(start, end)
        .map(({ json }) => json)
        .join(',')}]}`,
    );
  }

  /** At least one loop, if there is one. */
  #endOf(start: number): number {
    let bytes = 0;
    for (let at = start; at < this.#loops.length; at += 1) {
      bytes += this.#loops[at]?.bytes ?? 0;
      if (bytes > mostPartBytes && at > start) return at;
    }
    return this.#loops.length;
  }
}

type Place = Pick<WrittenLoop, 'openedAtUs' | 'alertId'>;

function byOpening(one: Place, other: Place): number {
  if (one.openedAtUs !== other.openedAtUs) return one.openedAtUs - other.openedAtUs;
  return one.alertId < other.alertId ? -1 : one.alertId === other.alertId ? 0 : 1;
}
