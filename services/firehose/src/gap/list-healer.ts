/**
 * Reads for a healing what lists show of what was missed, each list from its beginning to its end, or as far as it can
 * be read: one that fails holds up no other, and what fails for good is given up. It also notices that a list is older
 * than what was published.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { ListReading, type FetchList, type ReadPage } from '../lists/list-reading.ts';
import {
  classifyListFailure,
  judgeListFailure,
  listPatience,
  type ListFailure,
  type ListPatience,
} from '../lists/patience.ts';
import type { HealPlan } from './heal-plan.ts';
import { listsOf, type NomadList } from './nomad-lists.ts';
import { parseList, type ListedObject } from './parse-list.ts';
import type { RestoreWatch, ShownMark } from './restore-watch.ts';
import { identityOf, type Listed } from './snapshot-merge.ts';

/** An object of a list, on its way to become a message. */
export interface Snapshot extends Listed {
  readonly list: NomadList;
  readonly object: ListedObject;
  /** The whole object, where the list shows less and somebody asked for it. */
  readonly whole: Buffer | undefined;
}

export interface ListHealerTelemetry {
  /** The list is tried again; `isFirst` once per healing and list. */
  listFailed(failure: { readonly topic: string; readonly isFirst: boolean; readonly err: Error }): void;
  /**
   * What was missed of these topics is lost: there is no such list, or it cannot be read. `isRepeat`: it has not been
   * read since that was told last.
   */
  topicsUnhealed(
    topics: readonly string[],
    failure: { readonly err: Error | undefined; readonly isRepeat: boolean },
  ): void;
}

export interface ListHealerOptions {
  readonly namespace: string;
  readonly region: string;
  readonly perPage?: number;
  readonly patience?: ListPatience;
  readonly retryMinMs?: number;
  /**
   * How long a list has to be older than the stream until that is believed: a leader that was just elected may be, for
   * a moment.
   */
  readonly olderMs?: number;
}

export interface ListHealerPorts {
  readonly fetchList: FetchList;
  /** Resolves with the whole of a listed object if it is wanted and there. Rejects only with the reason of `signal`. */
  readonly readWhole: (list: NomadList, object: ListedObject, signal: AbortSignal) => Promise<Buffer | undefined>;
  readonly restoreWatch: Pick<RestoreWatch, 'mark' | 'isOlder'>;
  /** Objects went back while indexes went on: this reading is to be aborted, and all read anew. */
  readonly restoreFound: () => void;
  readonly telemetry: ListHealerTelemetry;
  readonly clock: Clock;
}

/** Resolves with what kept the log from taking them, when they are in it or are kept for later. */
export type LetOut = (snapshots: readonly Snapshot[]) => Promise<Error | undefined>;

/** A list that is to be read. */
interface ListTask {
  readonly list: NomadList;
  readonly since: number;
  readonly reading: ListReading<readonly Snapshot[]>;
  /** Of its first page. */
  index: number | undefined;
  /** It has not changed since it was read. */
  isKnown: boolean;
  hasFailed: boolean;
  failing: { readonly as: ListFailure; readonly sinceMs: number } | undefined;
  /** What was published when it was asked; of a list that is older, when that was seen first. */
  mark: ShownMark;
  olderSinceMs: number | undefined;
}

const defaults = { perPage: 500, patience: listPatience, retryMinMs: 250, olderMs: 1_000 };
const retryMaxMs = 15_000;

export class ListHealer {
  readonly #options: ListHealerOptions & typeof defaults;
  readonly #ports: ListHealerPorts;
  /**
   * By topic, what was read of its list to the end: as long as Nomad says the same index of it, nothing in it has
   * changed.
   */
  readonly #read = new Map<string, { readonly since: number; readonly index: number }>();
  /** Topics whose list was given up and has not been read since: it is not waited for again. */
  readonly #givenUp = new Set<string>();

  constructor(options: ListHealerOptions, ports: ListHealerPorts) {
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
  }

  /** Every list may hold something else than what was read of it. */
  forget(): void {
    this.#read.clear();
  }

  /**
   * One list after the other; those that fail are tried again when the others have had their turn. Rejects never; ends
   * when `signal` aborts.
   */
  async read(plan: HealPlan, letOut: LetOut, signal: AbortSignal): Promise<void> {
    const backoff = createBackoff({ minMs: this.#options.retryMinMs, maxMs: retryMaxMs });
    let waiting = listsOf(plan.keys()).map((list) =>
      this.#makeTask(list, Math.min(plan.get(list.topic) ?? Infinity, plan.get('*') ?? Infinity)),
    );
    while (waiting.length > 0 && !signal.aborted) {
      const failing: ListTask[] = [];
      for (const task of waiting)
        if (!signal.aborted && !(await this.#tryTask(task, { plan, letOut }, signal))) failing.push(task);
      waiting = failing;
      if (waiting.length > 0) await this.#ports.clock.sleep(backoff.next(), signal);
    }
  }

  #makeTask(list: NomadList, since: number): ListTask {
    const { namespace, region, perPage } = this.#options;
    const query = { namespace: list.isNamespaced ? namespace : undefined, region, perPage };
    const task: ListTask = {
      list,
      since,
      index: undefined,
      isKnown: false,
      hasFailed: false,
      failing: undefined,
      mark: this.#ports.restoreWatch.mark(),
      olderSinceMs: undefined,
      reading: new ListReading(list.path, query, this.#ports.fetchList, (body, index, signal) =>
        this.#readPage(task, body, index, signal),
      ),
    };
    return task;
  }

  /** True when nothing more is to be read of the list. */
  async #tryTask(
    task: ListTask,
    { plan, letOut }: { readonly plan: HealPlan; readonly letOut: LetOut },
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      for (
        let page = await this.#nextPage(task, signal);
        page !== undefined && !task.isKnown;
        page = await this.#nextPage(task, signal)
      ) {
        const err = await letOut(page.content);
        signal.throwIfAborted();
        if (err !== undefined) this.#tellFailure(task, err);
      }
      this.#givenUp.delete(task.list.topic);
      if (!task.isKnown) this.#read.set(task.list.topic, { since: task.since, index: task.index ?? 0 });
      return true;
    } catch (thrown) {
      return signal.aborted || (await this.#takeFailure(task, toError(thrown), plan, signal));
    }
  }

  async #nextPage(task: ListTask, signal: AbortSignal): Promise<ReadPage<readonly Snapshot[]> | undefined> {
    if (task.olderSinceMs === undefined) task.mark = this.#ports.restoreWatch.mark();
    const page = await task.reading.next(signal);
    task.failing = undefined;
    task.olderSinceMs = undefined;
    return page;
  }

  /** True when it is given up. */
  async #takeFailure(task: ListTask, err: Error, plan: HealPlan, signal: AbortSignal): Promise<boolean> {
    const { clock, telemetry } = this.#ports;
    const { topic } = task.list;
    const failure = classifyListFailure(err);
    const nowMs = clock.monotonic();
    if (task.failing?.as !== failure) task.failing = { as: failure, sinceMs: nowMs };
    const isRepeat = this.#givenUp.has(topic);
    const verdict =
      isRepeat && failure !== 'passing'
        ? 'give-up'
        : judgeListFailure(failure, nowMs - task.failing.sinceMs, this.#options.patience);
    if (
      verdict === 'give-up' ||
      (verdict === 'give-up-alone' && (await this.#isAnotherRead(task.list, plan, signal)))
    ) {
      this.#givenUp.add(topic);
      telemetry.topicsUnhealed([topic], { err, isRepeat });
      return true;
    }
    this.#tellFailure(task, err);
    return false;
  }

  #tellFailure(task: ListTask, err: Error): void {
    this.#ports.telemetry.listFailed({ topic: task.list.topic, isFirst: !task.hasFailed, err });
    task.hasFailed = true;
  }

  /** Whether Nomad answers a list at all, of those that are healed. */
  async #isAnotherRead(failing: NomadList, plan: HealPlan, signal: AbortSignal): Promise<boolean> {
    const { namespace, region } = this.#options;
    for (const { path, topic, isNamespaced } of listsOf(plan.keys())) {
      if (topic === failing.topic || signal.aborted) continue;
      const first = new ListReading(
        path,
        { namespace: isNamespaced ? namespace : undefined, region, perPage: 1 },
        this.#ports.fetchList,
        () => undefined,
      );
      const page = await first.next(signal).catch(() => undefined);
      if (page !== undefined) return true;
    }
    return false;
  }

  /** What a page shows of what was missed. */
  async #readPage(
    task: ListTask,
    body: Buffer,
    answered: number | undefined,
    signal: AbortSignal,
  ): Promise<readonly Snapshot[]> {
    const { list, since } = task;
    const index = answered ?? 0;
    const objects = parseList(list, body);
    // n.b. what was answered before the indexes began anew says nothing to the merge of after.
    signal.throwIfAborted();
    this.#refuseOlder(task, index, objects, signal);
    if (task.index === undefined && this.#isKnown(list, since, index)) task.isKnown = true;
    task.index ??= index;
    const snapshots: Snapshot[] = [];
    for (const object of task.isKnown ? [] : objects) {
      if (object.modifyIndex <= since) continue;
      const whole = await this.#ports.readWhole(list, object, signal);
      snapshots.push({
        list,
        object,
        whole,
        identity: identityOf(list.topic, object.namespace, object.key),
        modifyIndex: object.modifyIndex,
      });
    }
    return snapshots;
  }

  /**
   * Throws when the list is older than what was published: at first to read it again, then because all has to be read
   * anew.
   */
  #refuseOlder(task: ListTask, index: number, objects: readonly ListedObject[], signal: AbortSignal): void {
    const { clock, restoreWatch, restoreFound } = this.#ports;
    const { topic, path } = task.list;
    if (!restoreWatch.isOlder(task.mark, topic, index, objects)) return;
    task.olderSinceMs ??= clock.monotonic();
    if (clock.monotonic() - task.olderSinceMs >= this.#options.olderMs) {
      restoreFound();
      signal.throwIfAborted();
      return;
    }
    const text = `Expected the list ${path} to be as new as the event stream, got one of index ${String(index)} that is older; a server may have just become the leader, or a snapshot was restored`;
    throw new HydrantError(text, { code: 'list-older', retryable: true });
  }

  /** A Nomad that is quiet and has nothing in its buffer shows the same gap at each connection. */
  #isKnown({ topic }: NomadList, since: number, index: number): boolean {
    const before = this.#read.get(topic);
    return before !== undefined && index > 0 && before.index === index && before.since <= since;
  }
}
