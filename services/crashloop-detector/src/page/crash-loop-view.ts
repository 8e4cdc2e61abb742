/**
 * What `GET /crashloops` says of one loop, and `GET /crashloops/<id>` of its crashes. Pure. Every text is of bounded
 * length, because names and reasons come from the cluster; docs/crash-loops-page.md describes the fields.
 */
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { makeVisible } from '@hydrant/shared/foundation/visible-text';
import { makeNextStep } from '@hydrant/shared/messages/next-step';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { OpenLoop } from '../ledger/ledger.ts';
import type { ChosenRule } from '../rules/choose-rule.ts';
import type { NomadLinks } from './nomad-links.ts';

export interface CrashView {
  readonly time: string;
  readonly allocation: string;
  readonly node: string | null;
  readonly reason: string;
  readonly cause: string | null;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly oomKilled: boolean;
}

/** How many crashes each span of the window holds, the oldest first. */
export interface TimelineView {
  readonly start: string;
  readonly spanMs: number;
  readonly counts: readonly number[];
}

export interface LoopView {
  /** The alert's id. */
  readonly id: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly job: string;
  readonly group: string;
  readonly task: string;
  /** Of the newest crash, as far as it is known. */
  readonly allocation: string | null;
  readonly node: string | null;
  readonly openedAt: string;
  readonly firstCrash: string;
  readonly newestCrash: string;
  readonly count: number;
  readonly restartCount: number;
  readonly restartInterval: string;
  readonly intervalMs: number;
  /** Allocations that crashed in the window. */
  readonly allocations: number;
  readonly timeline: TimelineView;
  readonly newest: CrashView | null;
  readonly nextStep: string | null;
  readonly jobUrl: string | null;
  readonly taskUrl: string | null;
}

const mostCrashesShown = 50;
/** Characters of them as the ledger has them, which it does not bound. */
const mostCrashText = 16 * 1024;
/** A command or an address that is longer is of no use to anybody. */
const longestLink = 2000;
const spans = 60;

export function makeLoopView(
  { alertId, openedAtUs, newestUs, count, crashes, lastEvent, place }: OpenLoop,
  { rule }: ChosenRule,
  links: NomadLinks | null,
): LoopView {
  const details = newestShown(crashes).flatMap((json) => readDetail(json));
  const newest = details.at(-1);
  const times = crashes.flatMap((json) => readTimeMs(json));
  return {
    id: alertId,
    cluster: makeVisible(place.cluster),
    namespace: makeVisible(place.namespace),
    job: makeVisible(place.job),
    group: makeVisible(place.group),
    task: makeVisible(place.task),
    allocation: newest === undefined ? null : makeVisible(newest.allocation),
    node: newest?.node === undefined ? readNode(lastEvent) : makeVisible(newest.node),
    openedAt: showTime(openedAtUs / 1000),
    firstCrash: showTime(times[0] ?? newestUs / 1000),
    newestCrash: showTime(newestUs / 1000),
    count,
    restartCount: rule.count,
    restartInterval: formatDuration(rule.intervalMs),
    intervalMs: rule.intervalMs,
    allocations: new Set(details.map(({ allocation }) => allocation)).size,
    timeline: makeTimeline(times, newestUs / 1000, rule.intervalMs),
    newest: newest === undefined ? null : showCrash(newest),
    nextStep: newest === undefined ? null : makeNextStep(place.namespace, newest) || null,
    jobUrl: unlessLong(links?.job(place.namespace, place.job)),
    taskUrl: newest === undefined ? null : unlessLong(links?.task(newest.allocation, newest.task)),
  };
}

/** The newest crashes of the window, as many as are listed. */
export function newestShown(crashes: readonly string[]): readonly string[] {
  let text = 0;
  const from = crashes.findLastIndex((json, at) => {
    text += json.length;
    return at < crashes.length - mostCrashesShown || text > mostCrashText;
  });
  return crashes.slice(Math.min(from + 1, crashes.length - 1));
}

/** Oldest first. */
export function makeCrashViews(crashes: readonly string[]): readonly CrashView[] {
  return crashes.flatMap((json) => readDetail(json)).map(showCrash);
}

/** Spans lie on a fixed grid, so that the same crashes give the same timeline whenever it is made. */
function makeTimeline(times: readonly number[], newestMs: number, intervalMs: number): TimelineView {
  const spanMs = Math.max(1, Math.ceil(intervalMs / spans));
  const first = Math.floor((newestMs - intervalMs) / spanMs);
  const counts = Array.from({ length: Math.floor(newestMs / spanMs) - first + 1 }, () => 0);
  for (const time of times) {
    const at = Math.floor(time / spanMs) - first;
    if (at >= 0 && at < counts.length) counts[at] = (counts[at] ?? 0) + 1;
  }
  return { start: showTime(first * spanMs), spanMs, counts };
}

function showCrash({ time, allocation, node, reason, cause, exitCode, signal, oomKilled }: CrashDetail): CrashView {
  return {
    time: showTime(Number(BigInt(time) / 1_000_000n)),
    allocation: makeVisible(allocation),
    node: node === undefined ? null : makeVisible(node),
    reason: makeVisible(reason),
    cause: cause === undefined ? null : makeVisible(cause),
    exitCode: exitCode ?? null,
    signal: signal ?? null,
    oomKilled: oomKilled === true,
  };
}

/** None for what the ledger holds in a form of another version: the rest of the page does without it. */
function readDetail(json: string): readonly CrashDetail[] {
  try {
    const detail = JSON.parse(json) as CrashDetail;
    return /^\d{1,19}$/u.test(detail.time) &&
      typeof detail.allocation === 'string' &&
      typeof detail.task === 'string' &&
      typeof detail.reason === 'string'
      ? [detail]
      : [];
  } catch {
    return [];
  }
}

/** Milliseconds since 1970, without parsing the rest: there may be very many. */
function readTimeMs(json: string): readonly number[] {
  const ns = /"time":"(\d{7,19})"/u.exec(json)?.[1];
  return ns === undefined ? [] : [Number(ns.slice(0, -6))];
}

function readNode(lastEvent: string): string | null {
  try {
    const { NodeName, NodeID } = JSON.parse(lastEvent) as { readonly NodeName?: unknown; readonly NodeID?: unknown };
    const node = [NodeName, NodeID].find((value) => typeof value === 'string' && value !== '');
    return typeof node === 'string' ? makeVisible(node) : null;
  } catch {
    return null;
  }
}

function showTime(ms: number): string {
  return new Date(ms).toISOString();
}

function unlessLong(text: string | undefined): string | null {
  return text === undefined || text.length > longestLink ? null : text;
}
