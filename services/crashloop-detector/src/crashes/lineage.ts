/**
 * Which crashes are counted together: those of one task in one allocation and in all the allocations it replaced.
 * What is known of an allocation's forebears grows with the events, so the ledger keeps the links and finds the root.
 */
import type { Allocation } from './read-allocation.ts';

/** `lineage`: as above. `name`: everything under one allocation name, as nomad-crashloop-detector does. */
export type GroupBy = 'lineage' | 'name';

/** Where the event comes from. */
export interface Origin {
  readonly cluster: string;
  readonly region: string;
}

/** `child` replaced `parent`. */
export interface Link {
  readonly child: string;
  readonly parent: string;
}

/** The key of what is counted together; with `lineage` the ledger appends the root of the lineage. */
export function groupKey(origin: Origin, allocation: Allocation, task: string, groupBy: GroupBy): string {
  const named = namedGroupKey(origin, allocation.namespace, allocation.name);
  return groupBy === 'name' ? named : `${named}/${encodeURIComponent(task)}`;
}

/** Everything under one allocation name. */
export function namedGroupKey(origin: Origin, namespace: string, name: string): string {
  return [origin.cluster, origin.region, namespace, name].map(encodeURIComponent).join('/');
}

/** Allocation ids are unique in a cluster only. */
export function allocationKey(origin: Origin, id: string): string {
  return `${encodeURIComponent(origin.cluster)}/${id}`;
}

/** What this allocation tells of its lineage. */
export function lineageLinks(origin: Origin, allocation: Allocation): readonly Link[] {
  const links: Link[] = [];
  const own = allocationKey(origin, allocation.id);
  const parent = allocation.replaced ?? allocation.rescheduled.at(-1);
  if (parent !== undefined) links.push({ child: own, parent: allocationKey(origin, parent) });
  for (const [position, earlier] of allocation.rescheduled.slice(0, -1).entries()) {
    const child = allocation.rescheduled[position + 1];
    if (child !== undefined && child !== earlier)
      links.push({ child: allocationKey(origin, child), parent: allocationKey(origin, earlier) });
  }
  if (allocation.replacedBy !== null) links.push({ child: allocationKey(origin, allocation.replacedBy), parent: own });
  return links;
}
