/** The state of the ledger as entries that survive JSON, one for each lineage, allocation and end. */
import { CrashWindow, type CrashRecord } from './in-memory/crash-window.ts';
import type { AllocationState, EndedLoop, LedgerState, LoopState } from './in-memory/ledger-state.ts';
import { keepEnded } from './in-memory/ledger-state.ts';
import type { NumberRange } from './in-memory/number-restarts.ts';

type StoredLoop = Omit<LoopState, 'window' | 'ranges'> & { readonly window: readonly CrashRecord[]; readonly ranges: readonly (readonly [string, NumberRange])[] };
type StoredAllocation = Omit<AllocationState, 'roots'> & { readonly roots: readonly (readonly [string, string])[] };

export type StoredEntry =
  | { readonly key: string; readonly loop: StoredLoop }
  | { readonly key: string; readonly allocation: StoredAllocation }
  | { readonly ended: EndedLoop };

export function* storeEntries(state: LedgerState): Generator<StoredEntry> {
  for (const [key, loop] of state.loops) yield { key, loop: { ...loop, window: loop.window.records, ranges: [...loop.ranges] } };
  for (const [key, allocation] of state.allocations) yield { key, allocation: { ...allocation, roots: [...allocation.roots] } };
  for (const ended of state.ended.values()) yield { ended: { ...ended, takenUntilUs: 0 } };
}

export function restoreEntry(state: LedgerState, entry: StoredEntry): void {
  if ('loop' in entry) {
    state.loops.set(entry.key, { ...entry.loop, window: new CrashWindow(entry.loop.window), ranges: new Map(entry.loop.ranges) });
    if (entry.loop.opening !== null) state.open.add(entry.key);
  } else if ('allocation' in entry) {
    state.allocations.set(entry.key, { ...entry.allocation, roots: new Map(entry.allocation.roots) });
  } else {
    keepEnded(state, entry.ended);
  }
}
