/**
 * Which allocations belong together, and what becomes of two lineages that turn out to be one. Links arrive in any order, so a loop may have
 * been counted under an allocation that is found to have replaced another: its crashes, and the alert that is open of it, move to the root.
 */
import type { Observation } from '../ledger.ts';
import { emptyLoop, endLoop, forgetLoop, type AllocationState, type LedgerState, type LoopState } from './ledger-state.ts';

export interface Located {
  readonly key: string;
  readonly loop: LoopState;
  /** Lineages that had to make room. */
  readonly forgotten: number;
  readonly changed: boolean;
}

/** The loop that the observation belongs to, after what its links tell. */
export function locateLoop(state: LedgerState, observation: Observation, nowUs: number): Located {
  const { group, allocation, followLineage } = observation;
  const linked = followLineage && keepLinks(state, observation, nowUs);
  const found = followLineage ? findRoot(state, group, allocation) : { root: null, behind: [] };
  const key = loopKey(group, found.root);
  const known = state.loops.get(key);
  const loop = known ?? emptyLoop();
  // n.b. Put in anew: the order of the map is that of the latest news.
  state.loops.delete(key);
  state.loops.set(key, loop);
  loop.touchedUs = nowUs;
  for (const behind of found.behind) joinLoop(state, { from: loopKey(group, behind), key, into: loop });
  return { key, loop, forgotten: makeRoom(state), changed: linked || found.behind.length > 0 || known === undefined };
}

/** As `locateLoop`, without any news. */
export function findLoop(state: LedgerState, group: string, allocation: string | null): Pick<Located, 'key'> & { readonly loop: LoopState | undefined } {
  const key = loopKey(group, allocation === null ? null : findRoot(state, group, allocation).root);
  return { key, loop: state.loops.get(key) };
}

function loopKey(group: string, root: string | null): string {
  return root === null ? group : `${group}/${root}`;
}

function keepLinks(state: LedgerState, { links }: Observation, nowUs: number): boolean {
  let changed = false;
  for (const { child, parent } of links) {
    if (child === parent) continue;
    const allocation = allocationOf(state, child);
    allocation.touchedUs = nowUs;
    if (allocation.parent !== null) continue;
    allocation.parent = parent;
    changed = true;
  }
  return changed;
}

function allocationOf(state: LedgerState, key: string): AllocationState {
  const existing = state.allocations.get(key);
  if (existing !== undefined) return existing;
  const made: AllocationState = { parent: null, roots: new Map(), touchedUs: 0 };
  state.allocations.set(key, made);
  return made;
}

/** Follows the links up and remembers where they lead, so that the next time is short. `behind`: allocations that did not know of this root. */
function findRoot(state: LedgerState, group: string, allocation: string): { readonly root: string; readonly behind: readonly string[] } {
  const walked = new Set([allocation]);
  let root = allocation;
  for (;;) {
    const current = state.allocations.get(root);
    const next = current?.roots.get(group) ?? current?.parent ?? null;
    if (next === null || walked.has(next)) break;
    walked.add(next);
    root = next;
  }
  const behind: string[] = [];
  for (const key of walked) {
    const visited = state.allocations.get(key);
    if (key === root || visited === undefined || visited.roots.get(group) === root) continue;
    visited.roots.set(group, root);
    behind.push(key);
  }
  return { root, behind };
}

/** Of two alerts that are open the older one stays; the other ends. */
function joinLoop(state: LedgerState, { from, key, into }: { readonly from: string; readonly key: string; readonly into: LoopState }): void {
  const loop = state.loops.get(from);
  if (loop === undefined) return;
  if (loop.opening !== null && into.opening !== null) {
    if (loop.opening.atUs < into.opening.atUs) endLoop(state, key, into);
    else endLoop(state, from, loop);
  }
  for (const record of loop.window.records) into.window.put(record);
  for (const [task, range] of loop.ranges) into.ranges.set(task, range);
  if (loop.opening !== null) {
    into.opening = loop.opening;
    into.announced = loop.announced;
    into.claim = loop.claim;
    into.expiresAtUs = Math.max(into.expiresAtUs, loop.expiresAtUs);
    state.open.add(key);
  } else {
    into.claim ??= loop.claim;
  }
  if (loop.shown !== null && loop.shown.atUs > (into.shown?.atUs ?? -1)) into.shown = loop.shown;
  into.newestUs = Math.max(into.newestUs, loop.newestUs);
  into.endedUs = Math.max(into.endedUs, loop.endedUs);
  forgetLoop(state, from);
}

function makeRoom(state: LedgerState): number {
  let forgotten = 0;
  for (const key of state.loops.keys()) {
    if (state.loops.size <= state.maxLineages) break;
    forgetLoop(state, key);
    forgotten += 1;
  }
  return forgotten;
}
