/**
 * What became of each event, in some bytes for each: when it was made, whether and how it arrived, whether its
 * destination refused it, and which indexes Nomad no longer had when the firehose asked for them. Keeps no bodies. One
 * frame has one event here, so an index is an event's number.
 */
import { crc32 } from 'node:zlib';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';

/** Indexes that were not in Nomad's buffer any more when they were asked for; both ends are among them. */
export interface MissedRange {
  readonly first: number;
  readonly last: number;
  readonly atMs: number;
}

export interface TalliedEvent {
  readonly index: number;
  /** A number for its object. */
  readonly object: number;
  readonly madeAtMs: number;
  /** Its own bytes have arrived. */
  readonly arrived: boolean;
  /** Its state has arrived from a list. */
  readonly healed: boolean;
  /** It lies with the dead letters. */
  readonly deadLettered: boolean;
}

const bits = { arrived: 1, healed: 2, refused: 4, deadLettered: 8 } as const;
const firstRoom = 1 << 16;

export class EventTally {
  readonly #now: () => number;
  readonly #objects = new Map<string, number>();
  readonly #missed: MissedRange[] = [];
  readonly #altered: number[] = [];
  #newestStates = new Float64Array(1024);
  #flags = new Uint8Array(firstRoom);
  #hashes = new Uint32Array(firstRoom);
  #objectOf = new Uint32Array(firstRoom);
  #madeAtMs = new Float64Array(firstRoom);
  #first: number | undefined;
  made = 0;
  /** Different events whose own bytes have arrived. */
  arrived = 0;
  repeats = 0;
  /** Messages of events that were never made. */
  foreign = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Events of which the bytes that arrived are not those that were made. */
  get altered(): readonly number[] {
    return this.#altered;
  }

  get missed(): readonly MissedRange[] {
    return this.#missed;
  }

  /** Indexes have to come without a hole. */
  noteMade(index: number, key: string, bytes: Buffer): void {
    this.#first ??= index;
    const place = index - this.#first;
    if (place !== this.made)
      throw new Error(
        `Expected the event with index ${String(this.#first + this.made)} to be made next, got ${String(index)}`,
      );
    if (place >= this.#flags.length) this.#grow();
    const object = this.#objects.get(key) ?? this.#objects.size;
    this.#objects.set(key, object);
    this.#hashes[place] = crc32(bytes);
    this.#objectOf[place] = object;
    this.#madeAtMs[place] = this.#now();
    this.made += 1;
  }

  /** Gives how long it has taken, milliseconds, when it is the event's own bytes for the first time. */
  noteArrived(bytes: Buffer): number | undefined {
    const { index, key, type } = readEventHead(bytes, 0, bytes.length);
    const place = this.#placeOf(index, key);
    if (place === undefined) {
      this.foreign += 1;
      return undefined;
    }
    this.#noteState(place, index);
    const bit = type === 'Snapshot' ? bits.healed : bits.arrived;
    const isFirst = this.#mark(place, bit);
    if (bit === bits.healed) return undefined;
    if (crc32(bytes) !== this.#hashes[place]) this.#altered.push(index);
    if (!isFirst) {
      this.repeats += 1;
      return undefined;
    }
    this.arrived += 1;
    return this.#now() - (this.#madeAtMs[place] ?? NaN);
  }

  /** The destination has refused a batch with it. */
  noteRefused(bytes: Buffer): void {
    this.#noteFlag(bytes, bits.refused);
  }

  noteDeadLetter(bytes: Buffer): void {
    this.#noteFlag(bytes, bits.deadLettered);
  }

  /** The firehose has asked for what follows `from`, and `oldest` is what Nomad's buffer begins with. */
  noteOpened(from: number, oldest: number | undefined): void {
    if (this.#first === undefined) return;
    const first = Math.max(from + 1, this.#first);
    const last = (oldest ?? this.#first + this.made) - 1;
    if (first <= last) this.#missed.push({ first, last, atMs: this.#now() });
  }

  /** How many were refused and have not arrived: the dead letters have to have them. */
  get refused(): number {
    let count = 0;
    for (let place = 0; place < this.made; place += 1)
      if (((this.#flags[place] ?? 0) & (bits.refused | bits.arrived)) === bits.refused) count += 1;
    return count;
  }

  *events(): Generator<TalliedEvent> {
    for (let place = 0; place < this.made; place += 1) {
      const flags = this.#flags[place] ?? 0;
      yield {
        index: (this.#first ?? 0) + place,
        object: this.#objectOf[place] ?? 0,
        madeAtMs: this.#madeAtMs[place] ?? NaN,
        arrived: (flags & bits.arrived) !== 0,
        healed: (flags & bits.healed) !== 0,
        deadLettered: (flags & bits.deadLettered) !== 0,
      };
    }
  }

  /** The newest index of an object that has arrived, as an event or from a list; 0: none. */
  newestStateOf(object: number): number {
    return this.#newestStates[object] ?? 0;
  }

  #placeOf(index: number, key: string): number | undefined {
    const place = index - (this.#first ?? Infinity);
    return place >= 0 && place < this.made && this.#objects.get(key) === this.#objectOf[place] ? place : undefined;
  }

  #noteFlag(bytes: Buffer, bit: number): void {
    const { index, key } = readEventHead(bytes, 0, bytes.length);
    const place = this.#placeOf(index, key);
    if (place === undefined) this.foreign += 1;
    else this.#mark(place, bit);
  }

  /** True when it was not marked so before. */
  #mark(place: number, bit: number): boolean {
    const before = this.#flags[place] ?? 0;
    this.#flags[place] = before | bit;
    return (before & bit) === 0;
  }

  #noteState(place: number, index: number): void {
    const object = this.#objectOf[place] ?? 0;
    if (object >= this.#newestStates.length)
      this.#newestStates = enlarge(this.#newestStates, new Float64Array(object * 2));
    this.#newestStates[object] = Math.max(index, this.newestStateOf(object));
  }

  #grow(): void {
    const room = this.#flags.length * 2;
    this.#flags = enlarge(this.#flags, new Uint8Array(room));
    this.#hashes = enlarge(this.#hashes, new Uint32Array(room));
    this.#objectOf = enlarge(this.#objectOf, new Uint32Array(room));
    this.#madeAtMs = enlarge(this.#madeAtMs, new Float64Array(room));
  }
}

function enlarge<Numbers extends Uint8Array | Uint32Array | Float64Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}
