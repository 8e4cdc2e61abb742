/**
 * Which allocations belong together, and what becomes of two lineages that turn out to be one. Links arrive in any
 * order, so a loop may have been counted under an allocation that is found to have replaced another: its crashes, and
 * the alert that is open of it, move to the root.
 */
import { endLoop, tokenOf, type EndedLoop } from './end-loop.ts';
import { latestOf } from './latest-of.ts';
import { retentionMs, type Observation, type Rule } from './ledger.ts';
import { emptyLoop, taskOf, type LoopState } from './loop-state.ts';
import type { AllocationState, DeadAllocation, WorkingSet } from './working-set.ts';

export interface Located {
  readonly key: string;
  readonly loop: LoopState;
  /** Whether anything was written on the way. */
  readonly changed: boolean;
  readonly ended: readonly EndedLoop[];
}

interface Path {
  readonly root: string;
  /** From the allocation to the root. */
  readonly walked: readonly string[];
  /** Allocations that did not know of this root. */
  readonly behind: readonly string[];
}

/** What one round of loading should bring for the observation. */
export function keysOf({ group, allocation, followLineage, links }: Observation): readonly string[] {
  if (!followLineage) return [`loop/${group}`];
  const parent = links.find(({ child }) => child === allocation)?.parent;
  const others = links
    .filter(({ child, parent }) => child !== allocation && parent === allocation)
    .map(({ child }) => `allocation/${child}`);
  const above = parent === undefined ? [] : [`allocation/${parent}`, `loop/${group}/${parent}`];
  return [`allocation/${allocation}`, `loop/${group}/${allocation}`, `name/${group}`, ...above, ...others];
}

/**
 * Undefined when entries are missing: then nothing was changed. Null when the observation tells of no crash, and
 * nothing is known of its lineage.
 */
export function locateLoop(
  set: WorkingSet,
  observation: Observation,
  rule: Rule,
  nowUs: number,
): Located | null | undefined {
  const { group, allocation, followLineage } = observation;
  const isStatusOnly = observation.restarts.length === 0 && observation.timed.length === 0;
  if (!followLineage) {
    if (!set.has(`loop/${group}`)) return undefined;
    const known = set.loop(group);
    return known === null && isStatusOnly
      ? null
      : { key: group, loop: known ?? emptyLoop(), changed: false, ended: [] };
  }
  const links = findLinks(set, observation);
  const path = links && findRoot(set, { group, allocation, links });
  if (links === undefined || path === undefined) return undefined;
  const keys = [path.root, ...path.behind];
  // n.b. All of them are asked for, so that all that are missing are loaded at once.
  if ([`name/${group}`, ...keys.map((one) => `loop/${group}/${one}`)].map((one) => set.has(one)).includes(false))
    return undefined;
  if (isStatusOnly && keys.every((one) => set.loop(`${group}/${one}`) === null)) return null;
  const written = keepLinks(set, links, rule, nowUs);
  const joined = join(set, group, path, rule, nowUs);
  return { ...joined, changed: joined.changed || written };
}

/** As `locateLoop`, without any news: null when nothing is known. */
export function findLoop(
  set: WorkingSet,
  group: string,
  allocation: string | null,
): { readonly key: string; readonly loop: LoopState | null } | undefined {
  const path = allocation === null ? null : findRoot(set, { group, allocation, links: new Map() });
  if (path === undefined) return undefined;
  const key = path === null ? group : `${group}/${path.root}`;
  return set.has(`loop/${key}`) ? { key, loop: set.loop(key) } : undefined;
}

/** Parents by child, as far as the observation tells more than is known. */
function findLinks(
  set: WorkingSet,
  { allocation, firstSeenUs, group, createdAtUs, links, node }: Observation,
): ReadonlyMap<string, string> | undefined {
  if (!set.has(`allocation/${allocation}`)) return undefined;
  const known = set.allocation(allocation);
  const news = new Map<string, string>();
  for (const { child, parent } of links) {
    // What came before is of interest until the own parent is known.
    const isAbove = child !== allocation && parent !== allocation;
    if (child === parent || news.has(child) || (isAbove && known !== null && known.parent !== null)) continue;
    if (set.has(`allocation/${child}`)) news.set(child, parent);
  }
  if (set.isMissing) return undefined;
  if (news.has(allocation) || (known !== null && known.parent !== null)) return news;
  if (!set.has(`loop/${group}/${allocation}`) || !set.has(`name/${group}`)) return undefined;
  if (set.loop(`${group}/${allocation}`) !== null) return news;
  const predecessor = findPredecessor(set.dead(group), { allocation, node, bornAtUs: createdAtUs ?? firstSeenUs });
  return predecessor === undefined ? news : news.set(allocation, predecessor.allocation);
}

/**
 * Nomad does not always say what an allocation replaced; one that has the same name and was made after another died
 * goes on in its place.
 */
function findPredecessor(
  dead: readonly DeadAllocation[],
  { allocation, node, bornAtUs }: { readonly allocation: string; readonly node: string; readonly bornAtUs: number },
): DeadAllocation | undefined {
  const before = dead.filter((one) => one.allocation !== allocation && one.diedAtUs <= bornAtUs);
  return before.findLast((one) => one.node === node) ?? before.at(-1);
}

/** Follows the links up. */
function findRoot(
  set: WorkingSet,
  {
    group,
    allocation,
    links,
  }: { readonly group: string; readonly allocation: string; readonly links: ReadonlyMap<string, string> },
): Path | undefined {
  const walked = new Set([allocation]);
  let root = allocation;
  for (;;) {
    if (!set.has(`allocation/${root}`)) return undefined;
    const current = set.allocation(root);
    const next = current?.roots[group] ?? current?.parent ?? links.get(root) ?? null;
    if (next === null || walked.has(next)) break;
    walked.add(next);
    root = next;
  }
  const behind = [...walked].filter((key) => key !== root && set.allocation(key)?.roots[group] !== root);
  return { root, walked: [...walked], behind };
}

function keepLinks(set: WorkingSet, links: ReadonlyMap<string, string>, rule: Rule, nowUs: number): boolean {
  let changed = false;
  for (const [child, parent] of links) {
    const known = set.allocation(child);
    if (known !== null && known.parent !== null) continue;
    putAllocation(set, child, { ...(known ?? { roots: {} }), parent, writtenAtUs: nowUs }, rule);
    changed = true;
  }
  return changed;
}

/** Remembers where the links lead, so that the next time is short. */
function join(set: WorkingSet, group: string, { root, behind, walked }: Path, rule: Rule, nowUs: number): Located {
  const key = `${group}/${root}`;
  const loop = set.loop(key) ?? emptyLoop();
  const ended: EndedLoop[] = [];
  for (const one of behind) {
    const known = set.allocation(one) ?? { parent: null, roots: {} };
    putAllocation(
      set,
      one,
      { parent: known.parent, roots: { ...known.roots, [group]: root }, writtenAtUs: nowUs },
      rule,
    );
    const from = `${group}/${one}`;
    const moved = set.loop(from);
    if (moved === null) continue;
    for (const one of joinLoop({ from, moved }, { key, loop })) ended.push(one);
    set.delete(`loop/${from}`);
  }
  for (const one of walked) refresh(set, one, rule, nowUs);
  return { key, loop, changed: behind.length > 0, ended };
}

/** What leads to a lineage must not expire before it. */
function refresh(set: WorkingSet, allocation: string, rule: Rule, nowUs: number): void {
  const known = set.allocation(allocation);
  if (known !== null && nowUs - known.writtenAtUs > retentionMs(rule) * 250)
    putAllocation(set, allocation, { ...known, writtenAtUs: nowUs }, rule);
}

function putAllocation(set: WorkingSet, key: string, state: AllocationState, rule: Rule): void {
  set.putAllocation(key, state, 2 * retentionMs(rule));
}

/** Of two alerts that are open the older one stays; the other ends. */
function joinLoop(
  { from, moved }: { readonly from: string; readonly moved: LoopState },
  { key, loop }: { readonly key: string; readonly loop: LoopState },
): readonly EndedLoop[] {
  const ended =
    moved.opening === null || loop.opening === null
      ? null
      : moved.opening.atUs < loop.opening.atUs
        ? endLoop(loop, key, 'ran')
        : endLoop(moved, from, 'ran');
  const numbers = new Map<number, number>();
  for (const [task, record] of moved.tasks) {
    const { no } = taskOf(loop, task);
    numbers.set(record.no, no);
    loop.tasks.set(task, { ...record, no });
  }
  for (const record of moved.window.records) {
    const no = Number.parseInt(record.id, 10);
    loop.window.put({ ...record, id: `${numbers.get(no) ?? no}${record.id.slice(String(no).length)}` });
  }
  if (moved.opening !== null) {
    Object.assign(loop, {
      opening: moved.opening,
      announced: moved.announced,
      claim: moved.claim,
      endReason: moved.endReason,
      deadlineUs: Math.max(loop.deadlineUs, moved.deadlineUs),
    } satisfies Partial<LoopState>);
  } else {
    loop.claim ??= moved.claim;
  }
  if (moved.shown !== null && moved.shown.atUs > (loop.shown?.atUs ?? -1)) loop.shown = moved.shown;
  loop.newestUs = Math.max(loop.newestUs, moved.newestUs);
  loop.endedUs = Math.max(loop.endedUs, moved.endedUs);
  return ended === null ? [] : [ended];
}

/** Most dead allocations remembered under one name: a system job has one on every node. */
const mostDead = 8;

/** Remembers that the allocation has died, and forgets the one that it continues. */
export function noteDeath(set: WorkingSet, observation: Observation, rule: Rule): void {
  const { allocation, followLineage, group } = observation;
  if (!followLineage) return;
  const parent = set.allocation(allocation)?.parent;
  const known = set.dead(group);
  const others = known.filter((one) => one.allocation !== allocation && one.allocation !== parent);
  const own = readDeath(observation);
  if (own === undefined && others.length === known.length) return;
  const dead = (own === undefined ? others : [...others, own])
    .toSorted((a, b) => a.diedAtUs - b.diedAtUs)
    .slice(-mostDead);
  if (JSON.stringify(dead) !== JSON.stringify(known)) set.putDead(group, dead, retentionMs(rule));
}

function readDeath({
  allocation,
  node,
  status,
  timed,
  restarts,
  modifiedAtUs,
}: Observation): DeadAllocation | undefined {
  if (status === null || !['failed', 'stopped', 'done'].includes(status.state)) return undefined;
  const crashedAtUs = latestOf([...timed, ...restarts].map(({ timeUs }) => timeUs));
  return { allocation, node, diedAtUs: crashedAtUs === -1 ? modifiedAtUs : crashedAtUs };
}

/** Keeps the end for whoever announces it. */
export function keepEnd(set: WorkingSet, ended: EndedLoop, nowUs: number): void {
  set.putEnd(tokenOf(ended.opening), ended, {
    expiresInMs: retentionMs({ intervalMs: 0, notificationIntervalMs: 0 }),
    deadlineMs: Math.floor(nowUs / 1000),
  });
}
