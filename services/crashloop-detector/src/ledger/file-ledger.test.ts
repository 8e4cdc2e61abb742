import { join } from 'node:path';
import t from 'tap';
import { createFileStateStore } from '@hydrant/shared/state/file/file-state-store';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { claimOf, manualClock, observation, restart, rule, timedLedger } from './ledger-cases-contract.ts';
import { ledgerContract } from './ledger-contract.ts';
import { stateLimits } from './state-ledger.ts';

const never = new AbortController().signal;

async function open(path: string, { maxLineages = 1000, compactAboveBytes = 20_000, clock = manualClock() } = {}) {
  const store = createFileStateStore({
    path,
    limits: stateLimits(maxLineages),
    log: testLog(),
    clock,
    compactAboveBytes,
  });
  await store.start(never);
  return { store, ledger: timedLedger(store, clock) };
}

ledgerContract(t, {
  name: 'file',
  async create(t, options) {
    const { store, ledger } = await open(join(testFolder(t, {}), 'state.ndjson'), options);
    t.teardown(() => store.stop(never));
    return ledger;
  },
});

t.test('knows after a death what it said before, and repeats a claim that was not confirmed', async (t) => {
  const path = join(testFolder(t, {}), 'deep', 'state.ndjson');
  const crash = (number: number) => observation(`e${number}`, [restart(number, number)]);
  const first = await open(path);
  for (const number of [1, 2]) await first.ledger.record(crash(number), rule);
  const claimed = await first.ledger.record(crash(3), rule);

  // n.b. Not stopped: a death leaves the file as it is.
  const second = await open(path);
  t.same(claimOf(await second.ledger.record(crash(3), rule)), claimOf(claimed));
  await second.ledger.confirm(claimOf(claimed));

  const third = await open(path);
  t.match(await third.ledger.record(crash(3), rule), { action: 'none' });
  for (const { store } of [first, second, third]) await store.stop(never);
});
