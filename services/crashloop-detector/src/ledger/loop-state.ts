/**
 * What is remembered of one lineage and task, and how it is written: a line of JSON, the details of crashes, the
 * crashes, the event that is shown.
 */
import { CrashWindow } from './crash-window.ts';
import { latestOf } from './latest-of.ts';
import type { EndReason, Place, Rule } from './ledger.ts';
import type { NumberRange } from './number-restarts.ts';

/** What names an alert: the key under which its loop opened, and the crash that opened it. */
export interface Opening {
  readonly loop: string;
  readonly atUs: number;
}

export interface KeptClaim {
  readonly eventId: string;
  readonly opening: Opening;
  /** Time of the newest crash, and time by our clock. */
  readonly announcedAtUs: number;
  readonly claimedAtUs: number;
  readonly status: 'opened' | 'ongoing';
  readonly confirmed: boolean;
}

/** How a loop is shown; kept only of those that have enough crashes. */
export interface Shown {
  readonly lastEvent: string;
  readonly place: Place;
  readonly rule: Pick<Rule, 'intervalMs' | 'notificationIntervalMs'>;
  /** Time of the crash that `lastEvent` tells of. */
  readonly atUs: number;
}

/** `replaced`: another allocation has taken its place, and nothing that is heard of it matters any more. */
export type KeptState = 'running' | 'waiting' | 'failed' | 'done' | 'stopped' | 'replaced';

/** A task in one allocation. */
export interface TaskRecord {
  /** Names it in the identities of its crashes. */
  readonly no: number;
  /** The restarts accounted for. */
  range: NumberRange | null;
  state: KeptState | null;
  /** Since when, and by which ModifyTime it is known. */
  stateSinceUs: number;
  stateAtUs: number;
  /** Latest ModifyTime of an event that told of a crash; -1: none. */
  seenUs: number;
}

export interface LoopState {
  window: CrashWindow;
  /** By `<allocation>/<task>`, the one with the oldest news first. */
  readonly tasks: Map<string, TaskRecord>;
  /** Time of the newest crash ever recorded; -1: none. */
  newestUs: number;
  /** Time of the newest crash when the last loop ended: without a newer one no other opens. -1: none ended. */
  endedUs: number;
  /** Set while a loop is open. */
  opening: Opening | null;
  /** Whether an announcement of the open loop was confirmed. */
  announced: boolean;
  /** When the open loop ends if nothing is heard until then, and why, by our clock. */
  deadlineUs: number;
  endReason: EndReason;
  claim: KeptClaim | null;
  shown: Shown | null;
}

/** Of more tasks those with the oldest news are dropped, unless a crash in the window is theirs. */
const mostTasks = 64;

export function emptyLoop(): LoopState {
  return {
    window: new CrashWindow(),
    tasks: new Map(),
    newestUs: -1,
    endedUs: -1,
    opening: null,
    announced: false,
    deadlineUs: 0,
    endReason: 'ran',
    claim: null,
    shown: null,
  };
}

/** The record of the task; made when there is none. */
export function taskOf(loop: LoopState, key: string): TaskRecord {
  const known = loop.tasks.get(key);
  if (known !== undefined) return known;
  const no = latestOf([...loop.tasks.values()].map((task) => task.no)) + 1;
  const made: TaskRecord = { no, range: null, state: null, stateSinceUs: -1, stateAtUs: -1, seenUs: -1 };
  loop.tasks.set(key, made);
  return made;
}

/** Details of the crashes in the window, oldest first. */
export function detailsOf({ window }: LoopState): string[] {
  return window.records.map(
    ({ timeNs, detail }) => `{"time":"${timeNs}"${detail === '{}' ? '}' : `,${detail.slice(1)}`}`,
  );
}

type WrittenTask = readonly [
  key: string,
  no: number,
  range: readonly number[] | 0,
  state: KeptState | 0,
  sinceUs: number,
  atUs: number,
  seenUs: number,
];

interface WrittenLoop {
  readonly newest: number;
  readonly ended?: number;
  readonly count: number;
  readonly tasks: readonly WrittenTask[];
  readonly opening?: readonly [atUs: number, loop: string];
  readonly announced?: 1;
  readonly deadline?: readonly [atUs: number, reason: EndReason];
  readonly claim?: KeptClaim;
  readonly shown?: Omit<Shown, 'lastEvent'>;
}

export function writeLoop(loop: LoopState): string {
  dropTasks(loop);
  const { text, size, details } = loop.window.store();
  const { newestUs, endedUs, opening, announced, deadlineUs, endReason, claim, shown } = loop;
  const written: WrittenLoop = {
    newest: newestUs,
    ...(endedUs === -1 ? {} : { ended: endedUs }),
    count: size,
    tasks: [...loop.tasks].map(([key, task]) => writeTask(key, task)),
    ...(opening === null ? {} : { opening: [opening.atUs, opening.loop], deadline: [deadlineUs, endReason] }),
    ...(announced ? { announced: 1 } : {}),
    ...(claim === null ? {} : { claim }),
    ...(shown === null ? {} : { shown: { place: shown.place, rule: shown.rule, atUs: shown.atUs } }),
  };
  return `${JSON.stringify(written)}\n${details.join('\t')}\n${text}\n${shown?.lastEvent ?? ''}`;
}

export function readLoop(value: string): LoopState {
  const [first, second] = [value.indexOf('\n'), value.indexOf('\n', value.indexOf('\n') + 1)];
  const third = value.indexOf('\n', second + 1);
  const { newest, ended, count, tasks, opening, announced, deadline, claim, shown } = JSON.parse(
    value.slice(0, first),
  ) as WrittenLoop;
  const details = value.slice(first + 1, second);
  return {
    window: new CrashWindow({
      text: value.slice(second + 1, third),
      size: count,
      details: details === '' ? [] : details.split('\t'),
    }),
    tasks: new Map(tasks.map(readTask)),
    newestUs: newest,
    endedUs: ended ?? -1,
    opening: opening === undefined ? null : { atUs: opening[0], loop: opening[1] },
    announced: announced === 1,
    deadlineUs: deadline?.[0] ?? 0,
    endReason: deadline?.[1] ?? 'ran',
    claim: claim ?? null,
    shown: shown === undefined ? null : { ...shown, lastEvent: value.slice(third + 1) },
  };
}

function writeTask(key: string, { no, range, state, stateSinceUs, stateAtUs, seenUs }: TaskRecord): WrittenTask {
  return [
    key,
    no,
    range === null ? 0 : [range.epoch, range.low, range.high, range.newestUs, range.sinceUs],
    state ?? 0,
    stateSinceUs,
    stateAtUs,
    seenUs,
  ];
}

function readTask([key, no, range, state, stateSinceUs, stateAtUs, seenUs]: WrittenTask): [string, TaskRecord] {
  const [epoch = 0, low = 0, high = 0, newestUs = -1, sinceUs = -1] = range === 0 ? [] : range;
  return [
    key,
    {
      no,
      range: range === 0 ? null : { epoch, low, high, newestUs, sinceUs },
      state: state === 0 ? null : state,
      stateSinceUs,
      stateAtUs,
      seenUs,
    },
  ];
}

function dropTasks(loop: LoopState): void {
  if (loop.tasks.size <= mostTasks) return;
  const used = new Set(loop.window.records.map(({ id }) => Number.parseInt(id, 10)));
  for (const [key, { no }] of loop.tasks) {
    if (loop.tasks.size <= mostTasks) break;
    if (!used.has(no)) loop.tasks.delete(key);
  }
}
