/**
 * The answers about what loops. However many ask, the ledger is read once at a time, at most once per second and for at
 * most a tenth of the time, and only loops that changed are written anew. While the ledger is away the answer says so;
 * nobody waits longer than the limit.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { formatDuration } from '@hydrant/shared/foundation/durations';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import { mostOpenLoops, type Ledger, type OpenLoop } from '../ledger/ledger.ts';
import { chooseRule, type Rules } from '../rules/choose-rule.ts';
import { makeAnswer, type Answer } from './answer.ts';
import { makeCrashViews, makeLoopView, newestShown } from './crash-loop-view.ts';
import { LoopParts, type WrittenLoop } from './loop-parts.ts';
import type { NomadLinks } from './nomad-links.ts';
import type { Outlook } from './outlook.ts';

export interface LoopsReaderOptions {
  readonly ledger: Pick<Ledger, 'openLoops'>;
  readonly rules: Rules;
  readonly links: NomadLinks | null;
  readonly outlook: Pick<Outlook, 'view'>;
  /** Which page belongs to these answers: one that is open in a browser looks whether it is outdated. */
  readonly pageVersion: string;
  readonly log: Logger;
  readonly clock: Clock;
}

interface Written extends WrittenLoop {
  /** What makes the same loop another text. */
  readonly state: string;
  /** The newest as the ledger has them, for whoever looks at this loop. */
  readonly crashes: readonly string[];
}

interface Read {
  readonly loops: ReadonlyMap<string, Written>;
  readonly parts: LoopParts;
  readonly first: Answer;
}

const freshMs = 1000;
/** A ledger that takes long to be read is read less often. */
const restOfReading = 10;
const longestFreshMs = 30_000;
const readLimitMs = 5000;
const cannotRead = 'The detector cannot read its ledger';
const gone = 'This crash loop is known no more: it has ended';

export class LoopsReader {
  /** While it is not, the ledger is not asked. */
  isOpen = false;
  readonly #options: LoopsReaderOptions;
  #latest: { readonly untilMs: number; readonly result: Read | Answer } | undefined;
  #read: Read = { loops: new Map(), parts: new LoopParts([]), first: makeAnswer(200, '{}') };
  #reading: Promise<Read | Answer> | undefined;
  #isAway = false;

  constructor(options: LoopsReaderOptions) {
    this.#options = options;
  }

  /** Part of the list: the first, or the one behind the token that another one gave. Never rejects. */
  async list(after?: string): Promise<Answer> {
    const result = await this.#current();
    if (!('parts' in result)) return result;
    if (after === undefined) return result.first;
    return (
      result.parts.after(after, { page: this.#options.pageVersion }) ??
      this.#say(400, 'Expected `after` to be the `next` of another part')
    );
  }

  /** The newest crashes of one loop. Never rejects. */
  async crashes(alertId: string): Promise<Answer> {
    const result = await this.#current();
    if (!('loops' in result)) return result;
    const loop = result.loops.get(alertId);
    return loop === undefined
      ? this.#say(404, gone)
      : makeAnswer(
          200,
          JSON.stringify({ page: this.#options.pageVersion, id: alertId, crashes: makeCrashViews(loop.crashes) }),
        );
  }

  async #current(): Promise<Read | Answer> {
    const { clock } = this.#options;
    if (!this.isOpen) return this.#say(503, 'The detector is starting or stopping');
    if (this.#latest !== undefined && clock.monotonic() < this.#latest.untilMs) return this.#latest.result;
    this.#reading ??= this.#load().finally(() => {
      this.#reading = undefined;
    });
    const done = new AbortController();
    const limit = clock
      .sleep(readLimitMs, done.signal)
      .then(() => this.#say(503, `${cannotRead}: it did not answer in time`));
    return Promise.race([this.#reading, limit]).finally(() => {
      done.abort();
    });
  }

  async #load(): Promise<Read | Answer> {
    const { clock, ledger, log } = this.#options;
    const beganMs = clock.monotonic();
    let result: Read | Answer;
    try {
      result = this.#write(await ledger.openLoops());
      this.#isAway = false;
    } catch (err) {
      if (!this.#isAway) log.warn({ err }, 'Ledger cannot be read for the page of crash loops');
      this.#isAway = true;
      result = this.#say(503, `${cannotRead}: its log says why`);
    }
    const endedMs = clock.monotonic();
    this.#latest = {
      untilMs: endedMs + Math.min(longestFreshMs, Math.max(freshMs, restOfReading * (endedMs - beganMs))),
      result,
    };
    return result;
  }

  #write(loops: readonly OpenLoop[]): Read {
    const { rules, pageVersion, outlook } = this.#options;
    const written = new Map<string, Written>();
    for (const loop of loops) {
      const chosen = chooseRule(rules, loop.place);
      if (chosen.isMuted) continue;
      const before = this.#read.loops.get(loop.alertId);
      const state = `${String(loop.newestUs)} ${String(loop.count)} ${loop.crashes.at(-1) ?? ''}`;
      written.set(
        loop.alertId,
        before?.state === state
          ? before
          : writeLoop(loop, state, JSON.stringify(makeLoopView(loop, chosen, this.#options.links))),
      );
    }
    const all = [...written.values()];
    const parts = this.#read.parts.isOf(all) ? this.#read.parts : new LoopParts(all);
    const head = {
      page: pageVersion,
      rule: showRule(rules),
      ...outlook.view(),
      isComplete: loops.length < mostOpenLoops,
    };
    this.#read = { loops: written, parts, first: parts.first(head) };
    return this.#read;
  }

  #say(statusCode: Answer['statusCode'], error: string): Answer {
    return makeAnswer(statusCode, JSON.stringify({ page: this.#options.pageVersion, error }));
  }
}

function writeLoop({ alertId, openedAtUs, crashes }: OpenLoop, state: string, json: string): Written {
  return { alertId, openedAtUs, json, bytes: Buffer.byteLength(json), state, crashes: newestShown(crashes) };
}

function showRule({ rule, overrides }: Rules) {
  return {
    restartCount: rule.count,
    restartInterval: formatDuration(rule.intervalMs),
    notificationInterval: formatDuration(rule.notificationIntervalMs),
    overrides: overrides.length,
  };
}
