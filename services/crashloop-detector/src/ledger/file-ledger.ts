/**
 * The ledger of a process that stands alone: in memory, with a journal on disk that brings it back after a restart.
 * The journal holds observations, not their effects: applied again in the same order they decide the same. One process at a time.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import { confirmClaim, decide, emptyLedger, type AllocationState, type LedgerState, type LoopState } from './decide.ts';
import { Journal } from './journal.ts';
import { retentionMs, type Claim, type Decision, type Ledger, type Observation, type Rule } from './ledger.ts';

export interface FileLedgerOptions {
  readonly path: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default 4 MiB. */
  readonly compactAboveBytes?: number;
}

type StoredLoop = Omit<LoopState, 'crashes'> & { readonly crashes: [string, { timeUs: number; detail: string; hidden: boolean }][] };
type StoredAllocation = Omit<AllocationState, 'known'> & { readonly known: [string, { low: number; high: number }][] };

type Line =
  | { readonly at: number; readonly observation: Observation; readonly rule: Rule }
  | { readonly confirmed: Pick<Claim, 'loop' | 'eventId' | 'announcedAtUs'> }
  | { readonly at: number; readonly key: string; readonly loop: StoredLoop }
  | { readonly at: number; readonly key: string; readonly allocation: StoredAllocation };

/** Pure: the journal is opened by `start`. */
export function createFileLedger(options: FileLedgerOptions): Ledger & Component {
  return new FileLedger(options);
}

class FileLedger implements Ledger, Component {
  readonly name = 'ledger';
  readonly #options: FileLedgerOptions;
  readonly #journal: Journal;
  readonly #state: LedgerState = emptyLedger();
  /** Wall clock of the last news of an allocation or a loop: what has none for long is left out of the next rewrite. */
  readonly #touched = { allocations: new Map<string, number>(), loops: new Map<string, number>() };
  #retentionMs = 0;

  constructor(options: FileLedgerOptions) {
    this.#options = options;
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
    const line: Line = { at: this.#options.clock.now(), observation, rule };
    const { decision, changed } = this.#observe(line);
    // n.b. Nothing new may still rest on a line that is being written, or whose write failed.
    await (changed ? this.#journal.append(JSON.stringify(line)) : this.#journal.flush());
    return decision;
  }

  async confirm({ loop, eventId, announcedAtUs }: Claim): Promise<void> {
    const line: Line = { confirmed: { loop, eventId, announcedAtUs } };
    if (confirmClaim(this.#state, line.confirmed)) await this.#journal.append(JSON.stringify(line));
  }

  #observe({ at, observation, rule }: Extract<Line, { observation: Observation }>): { decision: Decision; changed: boolean } {
    const outcome = decide(this.#state, observation, rule);
    this.#retentionMs = Math.max(this.#retentionMs, retentionMs(rule));
    this.#touched.loops.set(outcome.loop, at);
    this.#touched.allocations.set(observation.allocation, at);
    for (const { child } of observation.links) this.#touched.allocations.set(child, at);
    return outcome;
  }

  #apply(line: Line): void {
    if ('observation' in line) {
      this.#observe(line);
    } else if ('confirmed' in line) {
      confirmClaim(this.#state, line.confirmed);
    } else if ('loop' in line) {
      this.#state.loops.set(line.key, { ...line.loop, crashes: new Map(line.loop.crashes) });
      this.#touched.loops.set(line.key, line.at);
    } else {
      this.#state.allocations.set(line.key, { ...line.allocation, known: new Map(line.allocation.known) });
      this.#touched.allocations.set(line.key, line.at);
    }
  }

  *#snapshot(): Generator<string> {
    const oldest = this.#options.clock.now() - this.#retentionMs;
    forget(this.#state.loops, this.#touched.loops, oldest);
    forget(this.#state.allocations, this.#touched.allocations, oldest);
    for (const [key, loop] of this.#state.loops) {
      const line: Line = { at: this.#touched.loops.get(key) ?? 0, key, loop: { ...loop, crashes: [...loop.crashes] } };
      yield JSON.stringify(line);
    }
    for (const [key, allocation] of this.#state.allocations) {
      const line: Line = { at: this.#touched.allocations.get(key) ?? 0, key, allocation: { ...allocation, known: [...allocation.known] } };
      yield JSON.stringify(line);
    }
  }
}

function forget(entries: Map<string, unknown>, touched: Map<string, number>, oldestMs: number): void {
  for (const [key, at] of touched) {
    if (at >= oldestMs) continue;
    entries.delete(key);
    touched.delete(key);
  }
}
