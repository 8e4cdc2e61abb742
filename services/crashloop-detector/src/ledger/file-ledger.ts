/**
 * The ledger of a process that stands alone: in memory, with a journal on disk that brings it back after a restart.
 * The journal holds what was asked, not its effects: asked again in the same order it decides the same. One process at a time.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import { decide } from './in-memory/decide.ts';
import { Journal } from '@hydrant/shared/state/file/journal';
import { retentionMs, defaultMaxLineages, type Claim, type Decision, type Ledger, type LedgerSize, type Observation, type OpenLoop, type ResolvedClaim, type Rule } from './ledger.ts';
import { emptyLedger, forgetBefore, type LedgerState } from './in-memory/ledger-state.ts';
import { restoreEntry, storeEntries, type StoredEntry } from './stored-state.ts';
import { confirmClaim, confirmResolved, listOpenLoops, takeResolved, type Taken } from './in-memory/resolve.ts';

export interface FileLedgerOptions {
  readonly path: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default 100,000. */
  readonly maxLineages?: number;
  /** Default 4 MiB. */
  readonly compactAboveBytes?: number;
}

type Line =
  | { readonly at: number; readonly observation: Observation; readonly rule: Rule }
  | { readonly confirmed: Claim }
  | { readonly endedAt: number }
  | { readonly resolved: Pick<ResolvedClaim, 'token'> }
  | { readonly stored: StoredEntry };

/** Pure: the journal is opened by `start`. */
export function createFileLedger(options: FileLedgerOptions): Ledger & Component {
  return new FileLedger(options);
}

class FileLedger implements Ledger, Component {
  readonly name = 'ledger';
  readonly #options: FileLedgerOptions;
  readonly #journal: Journal;
  readonly #state: LedgerState;
  #retentionMs = retentionMs({ count: 1, intervalMs: 0, notificationIntervalMs: 0 });

  constructor(options: FileLedgerOptions) {
    this.#options = options;
    this.#state = emptyLedger(options.maxLineages ?? defaultMaxLineages);
    this.#journal = new Journal({
      path: options.path,
      compactAboveBytes: options.compactAboveBytes ?? 4 * 1024 * 1024,
      snapshot: () => this.#snapshot(),
    });
  }

  async start(): Promise<void> {
    const lines = await this.#journal.open();
    let unreadable = 0;
    for (const line of lines) {
      try {
        this.#apply(JSON.parse(line) as Line);
      } catch {
        unreadable += 1;
      }
    }
    if (unreadable > 0) this.#options.log.error({ path: this.#options.path, unreadable }, 'Journal of the ledger has damaged lines: crashes may be missing from the window');
  }

  async stop(): Promise<void> {
    await this.#journal.close();
  }

  async record(observation: Observation, rule: Rule): Promise<Decision> {
    const line = { at: this.#nowUs(), observation, rule };
    const { decision, changed } = this.#observe(line);
    // n.b. Nothing new may still rest on a line that is being written, or whose write failed.
    await (changed ? this.#append(line) : this.#journal.flush());
    return decision;
  }

  async confirm(claim: Claim): Promise<void> {
    if (confirmClaim(this.#state, claim)) await this.#append({ confirmed: claim });
  }

  async takeResolved(limit: number): Promise<readonly ResolvedClaim[]> {
    const endedAt = this.#nowUs();
    const { claims, changed } = this.#end(endedAt, limit);
    await (changed ? this.#append({ endedAt }) : this.#journal.flush());
    return claims;
  }

  async confirmResolved({ token }: ResolvedClaim): Promise<void> {
    if (confirmResolved(this.#state, { token })) await this.#append({ resolved: { token } });
  }

  openLoops(): Promise<readonly OpenLoop[]> {
    return Promise.resolve(listOpenLoops(this.#state));
  }

  size(): Promise<LedgerSize> {
    return Promise.resolve({ lineages: this.#state.loops.size, openLoops: this.#state.open.size });
  }

  #nowUs(): number {
    return this.#options.clock.now() * 1000;
  }

  #append(line: Line): Promise<void> {
    return this.#journal.append(JSON.stringify(line));
  }

  #observe({ at, observation, rule }: Extract<Line, { observation: Observation }>): { decision: Decision; changed: boolean } {
    this.#retentionMs = Math.max(this.#retentionMs, retentionMs(rule));
    return decide(this.#state, observation, rule, at);
  }

  #end(nowUs: number, limit: number): Taken {
    return takeResolved(this.#state, nowUs, limit);
  }

  #apply(line: Line): void {
    if ('observation' in line) this.#observe(line);
    else if ('confirmed' in line) confirmClaim(this.#state, line.confirmed);
    // An end that was taken before the restart is to be taken again at once.
    else if ('endedAt' in line) this.#end(line.endedAt, 0);
    else if ('resolved' in line) confirmResolved(this.#state, line.resolved);
    else restoreEntry(this.#state, line.stored);
  }

  *#snapshot(): Generator<string> {
    forgetBefore(this.#state, this.#nowUs() - this.#retentionMs * 1000);
    for (const stored of storeEntries(this.#state)) yield JSON.stringify({ stored } satisfies Line);
  }
}
