/**
 * The answer of `GET /crashloops`. However many ask, the ledger is read once at a time and at most once per second, and only loops that changed are
 * written anew. While the ledger is away the answer says so; nobody waits longer than the limit.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { formatDuration } from '@hydrant/shared/foundation/durations';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import { mostOpenLoops, type Ledger, type OpenLoop } from '../ledger/ledger.ts';
import { chooseRule, type Rules } from '../rules/choose-rule.ts';
import { makeLoopView } from './crash-loop-view.ts';
import type { NomadLinks } from './nomad-links.ts';

export interface LoopsReaderOptions {
  readonly ledger: Pick<Ledger, 'openLoops'>;
  readonly rules: Rules;
  readonly links: NomadLinks | null;
  /** Which page belongs to these answers: one that is open in a browser looks whether it is outdated. */
  readonly pageVersion: string;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface Answer {
  readonly statusCode: 200 | 503;
  /** Weak, quoted. */
  readonly etag: string;
  /** JSON. */
  readonly body: Buffer;
  gzipped(): Promise<Buffer>;
}

interface Written {
  readonly loop: OpenLoop;
  readonly json: string;
}

const freshMs = 1000;
const readLimitMs = 5000;
const cannotRead = 'The detector cannot read its ledger';

export class LoopsReader {
  /** While it is not, the ledger is not asked. */
  isOpen = false;
  readonly #options: LoopsReaderOptions;
  /** By alert. */
  #written: ReadonlyMap<string, Written> = new Map();
  #latest: { readonly atMs: number; readonly answer: Answer } | undefined;
  #reading: Promise<Answer> | undefined;
  #isAway = false;

  constructor(options: LoopsReaderOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async read(): Promise<Answer> {
    const { clock } = this.#options;
    if (!this.isOpen) return this.#away('The detector is starting or stopping');
    if (this.#latest !== undefined && clock.monotonic() - this.#latest.atMs < freshMs) return this.#latest.answer;
    this.#reading ??= this.#load().finally(() => { this.#reading = undefined; });
    const done = new AbortController();
    const limit = clock.sleep(readLimitMs, done.signal).then(() => this.#away(`${cannotRead}: it did not answer in time`));
    return Promise.race([this.#reading, limit]).finally(() => { done.abort(); });
  }

  async #load(): Promise<Answer> {
    const { clock, ledger, log } = this.#options;
    let answer: Answer;
    try {
      answer = this.#write(await ledger.openLoops());
      this.#isAway = false;
    } catch (err) {
      if (!this.#isAway) log.warn({ err }, 'Ledger cannot be read for the page of crash loops');
      this.#isAway = true;
      answer = this.#away(`${cannotRead}: its log says why`);
    }
    this.#latest = { atMs: clock.monotonic(), answer };
    return answer;
  }

  #write(loops: readonly OpenLoop[]): Answer {
    const { rules, pageVersion } = this.#options;
    const written = new Map<string, Written>();
    for (const loop of loops) {
      const chosen = chooseRule(rules, loop.place);
      if (chosen.isMuted) continue;
      const before = this.#written.get(loop.alertId);
      const isSame = before?.loop.newestUs === loop.newestUs && before.loop.count === loop.count && before.loop.crashes.at(-1) === loop.crashes.at(-1);
      written.set(loop.alertId, isSame ? before : { loop, json: JSON.stringify(makeLoopView(loop, chosen, this.#options.links)) });
    }
    this.#written = written;
    const head = JSON.stringify({ page: pageVersion, rule: showRule(rules), isComplete: loops.length < mostOpenLoops });
    return makeAnswer(200, `${head.slice(0, -1)},"loops":[${[...written.values()].map(({ json }) => json).join(',')}]}`);
  }

  #away(error: string): Answer {
    return makeAnswer(503, JSON.stringify({ page: this.#options.pageVersion, error }));
  }
}

function showRule({ rule, overrides }: Rules) {
  return {
    restartCount: rule.count,
    restartInterval: formatDuration(rule.intervalMs),
    notificationInterval: formatDuration(rule.notificationIntervalMs),
    overrides: overrides.length,
  };
}

function makeAnswer(statusCode: Answer['statusCode'], json: string): Answer {
  const body = Buffer.from(json);
  const etag = `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  let gzipped: Promise<Buffer> | undefined;
  return {
    statusCode,
    etag,
    body,
    gzipped() {
      gzipped ??= promisify(gzip)(body, { level: 1 });
      return gzipped;
    },
  };
}
