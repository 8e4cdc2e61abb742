/**
 * What has happened to people with Nomad, as events in fixtures/crash-loops, each played from bytes into the rule as it
 * is in production.
 */
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { Explainer } from './explain/explainer.ts';
import { createPlayedLedger, shown, type TimedLedger } from './ledger/ledger-cases-contract.ts';
import type { Decision } from './ledger/ledger.ts';
import { readObservations } from './read-observations.ts';

const rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };

async function readLines(name: string): Promise<readonly Buffer[]> {
  const text = await readFile(new URL(`../../../fixtures/crash-loops/${name}`, import.meta.url), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Buffer.from(line));
}

function makeMessage(body: Buffer): Message {
  const { topic, type, key, index } = readEventHead(body, 0, body.length);
  return makeEventMessage({
    cluster: 'c',
    region: 'global',
    index,
    origin: 'stream',
    timestampMs: 1,
    topic,
    type,
    body,
    routingKey: 'x',
    id: `c/${index}/${key}`,
  });
}

async function play(
  ledger: TimedLedger,
  lines: readonly Buffer[],
  beforeEach: () => Promise<void> = () => Promise.resolve(),
): Promise<readonly Decision[]> {
  const decisions: Decision[] = [];
  for (const line of lines) {
    const input = readObservations(makeMessage(line), 'lineage');
    if (input.kind === 'foreign') continue;
    for (const observation of input.observations) {
      ledger.clock.reach(observation.modifiedAtUs - 1_000_000);
      await beforeEach();
      const decision = await ledger.record(observation, rule);
      if (decision.action === 'announce') await ledger.confirm(decision.claim);
      decisions.push(decision);
    }
  }
  return decisions;
}

/** An allocation event in which the task of a name crashed once, `at` seconds after the start. */
function event(
  allocation: string,
  at: number,
  fields: Readonly<Record<string, unknown>>,
  task: Readonly<Record<string, unknown>> = {},
): Buffer {
  const ns = (seconds: number): string => `@${1_795_200_000 + seconds}000000000@`;
  const state = {
    State: 'running',
    Failed: false,
    Restarts: 0,
    Events: [{ Type: 'Started', Time: ns(at), Details: {} }],
    ...task,
  };
  const body = {
    Topic: 'Allocation',
    Type: 'AllocationUpdated',
    Key: allocation,
    Namespace: 'default',
    Index: 100 + at,
    Payload: {
      Allocation: {
        ID: allocation,
        Namespace: 'default',
        Name: 'web.app[0]',
        NodeName: 'node-1',
        JobID: 'web',
        TaskGroup: 'app',
        DesiredStatus: 'run',
        ClientStatus: 'running',
        TaskStates: { app: state },
        ModifyTime: ns(at),
        ...fields,
      },
    },
  };
  return Buffer.from(JSON.stringify(body).replace(/"@(\d+)@"/gu, '$1'));
}

t.test('delays that grow to an hour end no loop, the allocation that runs does', async (t) => {
  const ledger = createPlayedLedger();
  const ends: string[] = [];
  const look = async (): Promise<void> => {
    ends.push(...(await ledger.takeResolved(10)).map(({ reason }) => reason));
  };
  const decisions = await play(ledger, await readLines('rescheduled-with-growing-delays.ndjson'), look);

  t.same(ends, []);
  t.same(decisions.map(shown).filter((one) => one.startsWith('opened')).length, 1);
  t.equal((await ledger.openLoops()).length, 1);

  const last = '00000010-1111-1111-1111-111111111111';
  await play(ledger, [event('new', 14_951, { PreviousAllocation: last })]);
  t.same(await ledger.takeResolved(10), []);
  ledger.clock.pass(600_001);
  t.match(await ledger.takeResolved(10), [{ reason: 'ran' }]);
});

t.test('replacements whose parent Nomad does not tell are one lineage, as if it did', async (t) => {
  const counts = [];
  for (const name of ['replacements-without-parent.ndjson', 'replacements-with-parent.ndjson']) {
    const ledger = createPlayedLedger();
    const decisions = await play(ledger, await readLines(name));
    counts.push([
      decisions.filter(({ action }) => action === 'announce').length,
      (await ledger.loops()).map(({ crashes }) => crashes.length),
    ]);
  }

  t.same(counts, [
    [1, [8]],
    [1, [8]],
  ]);
});

t.test('a job that was purged and runs again goes on with its loop', async (t) => {
  const ledger = createPlayedLedger();
  const crash = (at: number): Readonly<Record<string, unknown>> => ({
    State: 'pending',
    Restarts: 1,
    Events: [
      { Type: 'Terminated', Time: `@${1_795_200_000 + at}000000000@`, Details: {} },
      {
        Type: 'Restarting',
        Time: `@${1_795_200_000 + at}000000000@`,
        RestartReason: 'Restart within policy',
        Details: {},
      },
    ],
  });
  const stopped = { DesiredStatus: 'stop', ClientStatus: 'complete' };
  for (let run = 0; run < 5; run += 1) {
    await play(ledger, [
      event(`a${run}`, run * 60, {}, crash(run * 60)),
      event(`a${run}`, run * 60 + 10, stopped, { ...crash(run * 60), State: 'dead' }),
    ]);
  }

  t.same(
    (await ledger.loops()).map(({ crashes }) => crashes.length),
    [5],
  );
});

t.test('an allocation that fails eight times counts eight times', async (t) => {
  const ledger = createPlayedLedger();
  const decisions = await play(ledger, await readLines('allocation-fails-again.ndjson'));

  t.same(
    (await ledger.loops()).map(({ crashes }) => crashes.length),
    [8],
  );
  t.equal(decisions.filter(({ action }) => action === 'announce').length, 1);
});

t.test('a task without a state takes none of the others with it', async (t) => {
  const ledger = createPlayedLedger();
  await play(ledger, await readLines('task-state-null.ndjson'));

  t.same(
    (await ledger.loops()).map(({ crashes }) => crashes.length),
    [1],
  );
});

t.test('explain says of these files what the rule says, however they are written', async (t) => {
  const cases: [name: string, expected: RegExp][] = [
    ['allocation-fails-again.ndjson', /Crashes: 8 counted; 0 restarts or failures not counted/u],
    ['replacements-without-parent.ndjson', /Crashes: 8 counted; .*\n.*\nCrash loops that would be announced: 1\n/u],
    ['byte-order-mark.ndjson', /Events: 8 of allocations/u],
    ['pretty-printed.json', /Events: [1-9]\d* of allocations/u],
    ['task-state-null.ndjson', /Crashes: 1 counted/u],
  ];
  for (const [name, expected] of cases) {
    const explainer = new Explainer({ rules: { rule, overrides: [] }, groupBy: 'lineage' });
    for (const line of (
      await readFile(new URL(`../../../fixtures/crash-loops/${name}`, import.meta.url), 'utf8')
    ).split('\n'))
      await explainer.take(Buffer.from(line));
    await explainer.end();
    const summary = explainer.summary().join('\n');
    t.match(summary, expected, name);
    t.notMatch(summary, 'cannot be used', name);
  }
});
