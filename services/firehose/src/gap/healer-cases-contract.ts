/** What the tests of the healer share. */
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import { scanFrame, type Frame } from '../source/scan-frame.ts';
import type { ListAnswer } from '../lists/list-reading.ts';
import { Healer, type HealerOptions } from './healer.ts';
import type { Snapshot } from './list-healer.ts';
import { RestoreWatch } from './restore-watch.ts';

export interface Listing {
  index: number;
  pages: readonly (readonly { readonly ID: string; readonly ModifyIndex: number }[])[];
  /** Instead of answering. */
  fails?: Error | undefined;
}

export interface Rig {
  readonly healer: Healer;
  /** By topic. */
  readonly lists: Record<string, Listing>;
  /** Paths that were asked for, without what is the same in all. */
  readonly asked: string[];
  /** What got into the log. */
  readonly out: string[];
  readonly told: (readonly [string, unknown])[];
  isReading: boolean;
  /** How often it was asked whether the stream is open. */
  looks: number;
  lastPosition: number;
  appendFails: boolean;
  readonly restoreWatch: RestoreWatch;
  onRestore: () => void;
  /** Called before a list is answered. */
  beforeAnswer: (topic: string) => void | Promise<void>;
}

export const topicOfPath: Readonly<Record<string, string>> = { nodes: 'Node', jobs: 'Job' };

export function start(t: Test, options: Partial<HealerOptions> = {}): Rig {
  const lists: Rig['lists'] = { Node: { index: 9, pages: [[]] }, Job: { index: 9, pages: [[]] } };
  const rig: Omit<Rig, 'healer'> = {
    lists,
    asked: [],
    out: [],
    told: [],
    isReading: true,
    looks: 0,
    lastPosition: 0,
    appendFails: false,
    restoreWatch: new RestoreWatch(),
    onRestore: () => undefined,
    beforeAnswer: () => undefined,
  };
  async function fetchList(path: string, signal: AbortSignal): Promise<ListAnswer> {
    const { pathname, searchParams } = new URL(path, 'http://nomad');
    const topic = topicOfPath[pathname.slice('/v1/'.length)] ?? '';
    const page = Number(searchParams.get('next_token') ?? '0');
    rig.asked.push(`${topic} ${String(page)}`);
    await rig.beforeAnswer(topic);
    signal.throwIfAborted();
    const { index, pages, fails } = rig.lists[topic] ?? { index: 0, pages: [[]] };
    if (fails !== undefined) throw fails;
    const objects = (pages[page] ?? []).map((object) => ({
      ...object,
      Namespace: topic === 'Node' ? undefined : 'default',
    }));
    return {
      body: Buffer.from(JSON.stringify(objects)),
      index,
      nextToken: page + 1 < pages.length ? String(page + 1) : undefined,
    };
  }
  const healer = new Healer(
    { namespace: '*', region: '', settleMs: 50, retryMinMs: 1, ...options },
    {
      fetchList,
      append(choose) {
        const snapshots = choose();
        if (rig.appendFails)
          return Promise.reject(new HydrantError('Expected room', { code: 'spool-full', retryable: true }));
        rig.out.push(...describe(snapshots));
        rig.lastPosition += snapshots.length;
        return Promise.resolve();
      },
      readWhole: () => Promise.resolve(undefined),
      restoreWatch: rig.restoreWatch,
      restoreFound() {
        rig.told.push(['restored', '']);
        rig.restoreWatch.clear();
        rig.onRestore();
      },
      lastPosition: () => rig.lastPosition,
      isReading() {
        rig.looks += 1;
        return rig.isReading;
      },
      telemetry: {
        healStarted: (plan) => {
          rig.told.push(['started', Object.fromEntries(plan)]);
        },
        listFailed: ({ topic, isFirst }) => {
          rig.told.push(['failed', `${topic} ${String(isFirst)}`]);
        },
        topicsUnhealed: (topics, { isRepeat }) => {
          rig.told.push([isRepeat ? 'unhealed again' : 'unhealed', topics.join()]);
        },
        healEnded: ({ events }) => {
          rig.told.push(['ended', events]);
        },
      },
      clock: systemClock,
    },
  );
  t.teardown(() => healer.stop());
  return Object.assign(rig, { healer });
}

export function describe(snapshots: readonly Snapshot[]): string[] {
  return snapshots.map(({ identity, modifyIndex }) => `${identity} ${String(modifyIndex)}`);
}

export function job(ID: string, ModifyIndex: number): Listing['pages'][number][number] {
  return { ID, ModifyIndex };
}

export function frame(index: number, ...keys: readonly string[]): Frame {
  const events = keys.map((Key) => ({
    Topic: 'Job',
    Type: 'JobRegistered',
    Key,
    Namespace: 'default',
    FilterKeys: null,
    Index: index,
    Payload: {},
  }));
  const scanned = scanFrame(Buffer.from(JSON.stringify({ Index: index, Events: events })));
  if (scanned === 'heartbeat') throw new Error('Expected a frame');
  return scanned;
}

export function whenEnded(rig: Rig, times = 1): Promise<unknown> {
  return eventually(() => rig.told.filter(([what]) => what === 'ended').length === times);
}
