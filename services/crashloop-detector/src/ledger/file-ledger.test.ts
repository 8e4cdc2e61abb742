import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Component } from '@hydrant/shared/runtime/component';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { createFileLedger } from './file-ledger.ts';
import { ledgerContract } from './ledger-contract.ts';
import type { Ledger, Observation, Rule } from './ledger.ts';

const rule: Rule = { count: 3, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const never = new AbortController().signal;
const start = 1_795_231_700_000_000;

function crash(number: number, changes: Partial<Observation> = {}): Observation {
  const timeUs = start + number * 1_000_000;
  return {
    eventId: `e${number}`, group: 'g', followLineage: true, allocation: 'a', task: 'task',
    place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'task' }, timed: [], links: [], modifiedAtUs: timeUs,
    restarts: [{ number, kind: 'crash', timeUs, detail: `#${number}` }], failure: null, lastEvent: '{}', ...changes,
  };
}

async function openLedger(path: string, options: { compactAboveBytes?: number; maxLineages?: number } = {}): Promise<Ledger & Component> {
  const ledger = createFileLedger({ path, log: testLog(), clock: systemClock, ...options });
  await ledger.start(never);
  return ledger;
}

t.test('contract', async (t) => {
  ledgerContract(t, {
    name: 'file',
    async create(t, options) {
      const ledger = await openLedger(join(t.testdir({}), 'ledger.ndjson'), { compactAboveBytes: 20_000, ...options });
      t.teardown(() => ledger.stop(never));
      return ledger;
    },
  });
});

t.test('knows after a death what it said before, and repeats a claim that was not confirmed', async (t) => {
  const path = join(t.testdir({}), 'deep', 'ledger.ndjson');
  const first = await openLedger(path);
  for (const number of [1, 2]) await first.record(crash(number), rule);
  const claimed = await first.record(crash(3), rule);

  // n.b. Not stopped: a death leaves the file as it is.
  const second = await openLedger(path);
  t.same(await second.record(crash(3), rule), { ...claimed, recorded: { restarts: 0, hidden: 0, failures: 0, requested: 0, forgotten: 0 } });
  if (claimed.action === 'announce') await second.confirm(claimed.claim);

  const third = await openLedger(path);
  t.match(await third.record(crash(3), rule), { action: 'none' });
  for (const ledger of [first, second, third]) await ledger.stop(never);
});

t.test('drops a torn last line, and tells of a damaged one', async (t) => {
  const path = join(t.testdir({}), 'ledger.ndjson');
  const first = await openLedger(path);
  await first.record(crash(1), rule);
  await first.stop(never);
  await appendFile(path, 'damaged\n{"at":1,"observ');

  const { log, lines } = recordingLog();
  const second = createFileLedger({ path, log, clock: systemClock });
  await second.start(never);
  await second.record(crash(2), rule);
  t.match(await second.record(crash(3), rule), { status: 'opened', count: 3 });
  await second.stop(never);

  t.match(lines, [{ level: 'error', unreadable: 1 }]);
  t.notMatch(await readFile(path, 'utf8'), '"observ{');
});

t.test('is rewritten when it has grown, without losing anything', async (t) => {
  const path = join(t.testdir({}), 'ledger.ndjson');
  const first = await openLedger(path, { compactAboveBytes: 2_000 });
  const many = Array.from({ length: 300 }, (_, index) => first.record(crash(index + 1), { ...rule, intervalMs: 10_000 }));
  for (const decision of await Promise.all(many)) if (decision.action === 'announce') await first.confirm(decision.claim);
  for (let number = 301; number <= 330; number += 1) await first.record(crash(number), { ...rule, intervalMs: 10_000 });
  await first.stop(never);

  t.ok((await stat(path)).size < 15_000, 'short');
  const second = await openLedger(path);
  t.match(await second.record(crash(331), { ...rule, intervalMs: 10_000, notificationIntervalMs: 0 }), { status: 'ongoing', count: 10 });
  await second.stop(never);
});

t.test('forgets at a rewrite what had no news for long', async (t) => {
  const path = join(t.testdir({}), 'ledger.ndjson');
  let now = 0;
  const clock = { ...systemClock, now: () => now };
  const ledger = createFileLedger({ path, log: testLog(), clock, compactAboveBytes: 1_000 });
  await ledger.start(never);
  await ledger.record(crash(1, { allocation: 'old' }), rule);
  now = 25 * 3_600_000;
  for (let number = 1; number <= 10; number += 1) await ledger.record(crash(number), rule);
  await ledger.stop(never);

  t.notMatch(await readFile(path, 'utf8'), 'old');
});

t.test('rejects while its file cannot be written, and keeps the line for the next time', async (t) => {
  const path = join(t.testdir({}), 'ledger.ndjson');
  const ledger = createFileLedger({ path, log: testLog(), clock: systemClock });

  await t.rejects(ledger.record(crash(1), rule), { code: 'state-unavailable', retryable: true });
  await ledger.start(never);
  await ledger.record(crash(1), rule);
  await ledger.stop(never);

  t.match(await readFile(path, 'utf8'), '"eventId":"e1"');
});
