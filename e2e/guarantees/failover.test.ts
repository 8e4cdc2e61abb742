/**
 * Promise 8: of two firehoses one leads. When it dies the other one leads within five seconds from the same checkpoint;
 * a leader that lost its lease publishes nothing more and cannot move the checkpoint.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { eventually } from '@hydrant/testing/eventually';
import { makePrivateFolder, removePrivateFolder } from '@hydrant/testing/private-folder';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import {
  describeLease,
  lastSaid,
  playWithTwoFirehoses,
  readMetric,
  untilIdle,
  untilLeading,
  untilSaved,
} from '../src/two-firehoses.ts';

const takeoverMs = 5_000;

void t.test('the leader is killed: the other one leads within five seconds, and nothing is missing', async (t) => {
  const { first, second, expected, whenArrived, arrived, readCheckpoint } = await playWithTwoFirehoses(t);
  t.match(await describeLease(second), /^standby: .*the leader is /u, 'it is ready, and says that it stands by');
  t.equal(await readMetric(second, 'hydrant_firehose_leader'), 0);
  await whenArrived(Math.ceil(expected.length / 3));

  const stalls = monitorEventLoopDelay({ resolution: 20 });
  stalls.enable();
  const before = await readCheckpoint();
  await first.kill();
  const killedAt = Date.now();
  await untilLeading(second);
  stalls.disable();
  await whenArrived(expected.length);

  t.equal(arrived(), 879);
  const tookMs = (lastSaid(second, 'Leading:') ?? Number.NaN) - killedAt;
  t.comment(`took over after ${String(tookMs)} ms`);
  // A machine that holds up this process holds up Redis and the firehose, too.
  t.ok(tookMs < takeoverMs + 10 * (stalls.max / 1e6), `led after ${String(tookMs)} ms`);
  t.match(second.log(), /Going on at the stored checkpoint/u);
  const after = await untilSaved(second, readCheckpoint);
  t.ok(
    Number(after['index']) >= Number(before['index']),
    `the checkpoint went on from ${String(before['index'])} to ${String(after['index'])}`,
  );
  t.ok(Number(after['token']) > Number(before['token']), 'under a higher token');
});

if (isLongForm)
  void t.test(
    'the leader is stopped past its lease: awake again it publishes nothing, leaves the checkpoint and stands by',
    async (t) => {
      const { first, second, simulator, expected, whenArrived, arrived, readCheckpoint } =
        await playWithTwoFirehoses(t);
      await whenArrived(Math.ceil(expected.length / 3));
      simulator.control.pause();
      const published = await untilIdle(first);
      const received = await readMetric(first, 'hydrant_firehose_events_received_total');

      first.signal('SIGSTOP');
      await untilLeading(second);
      simulator.control.resume();
      await whenArrived(expected.length);
      const stored = await untilSaved(second, readCheckpoint);
      first.signal('SIGCONT');
      await eventually(async () => (await describeLease(first)).startsWith('standby:'), {
        timeoutMs: 30_000,
        message: 'the first firehose stands by',
      });

      t.equal(await untilIdle(first), published, 'nothing more was published');
      t.comment(
        `it read ${String((await readMetric(first, 'hydrant_firehose_events_received_total')) - received)} events when it woke up`,
      );
      t.same(await readCheckpoint(), stored, 'the checkpoint was not touched');
      t.equal(await readMetric(first, 'hydrant_firehose_leader'), 0);
      t.equal(arrived(), 879);

      t.equal(await second.stop(), 0, 'a clean end');
      t.match(second.log(), /Gave the lease back/u);
      await untilLeading(first);
      t.comment(
        `led ${String((lastSaid(first, 'Leading:') ?? Number.NaN) - (lastSaid(second, 'Gave the lease back') ?? Number.NaN))} ms after the other one gave the lease back`,
      );
    },
  );

if (isLongForm)
  void t.test(
    'the leader is killed with a backlog in its folder while the broker is away: the other one reads it from Nomad, and the folder only repeats it',
    async (t) => {
      const folder = await makePrivateFolder('failover');
      t.teardown(() => removePrivateFolder(folder));
      const { first, second, shape, expected, whenArrived, arrived, readCheckpoint } = await playWithTwoFirehoses(t, [
        `${folder}/first`,
        `${folder}/second`,
      ]);
      const broker = shape.servers.find(({ name }) => name === 'RabbitMQ');
      if (broker === undefined) throw new Error('Expected the shape to have RabbitMQ');
      await whenArrived(Math.ceil(expected.length / 3));

      await broker.kill();
      await eventually(async () => (await readMetric(first, 'hydrant_firehose_spool_events')) >= 100, {
        timeoutMs: 30_000,
        message: 'a backlog in the folder',
      });
      await first.kill();
      await untilLeading(second);
      await broker.start();
      await whenArrived(expected.length);
      const stored = await untilSaved(second, readCheckpoint);

      await first.start();
      await eventually(async () => (await describeLease(first)).startsWith('standby:'), {
        timeoutMs: 30_000,
        message: 'the first firehose stands by',
      });
      t.equal(
        await readMetric(first, 'hydrant_firehose_events_published_total'),
        0,
        'nothing of its folder is published while the other one leads',
      );
      t.equal(await second.stop(), 0, 'a clean end');
      await untilLeading(first);
      const repeats = await untilIdle(first);

      t.ok(repeats >= 100, `it published the ${String(repeats)} events of its folder again`);
      t.equal(arrived(), 879);
      t.ok(Number((await readCheckpoint())['index']) >= Number(stored['index']), 'the checkpoint did not go back');
    },
  );
