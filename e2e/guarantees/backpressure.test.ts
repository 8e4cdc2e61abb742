/**
 * Promise 6: memory is bounded everywhere. A slow destination fills its queue, a slow broker fills the spool, and the
 * socket to Nomad is not left unread for long.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import { isLongForm } from '../src/form.ts';
import { setStage, shapeNames, type Stage } from '../src/stage.ts';

const mebibyte = 1024 * 1024;
/** Some kilobytes each: several times what the firehose may hold. */
const load = { eventsPerSecond: 2_000, total: 20_000 };

function serverOf({ shape }: Stage, name: string) {
  const server = shape.servers.find((candidate) => candidate.name === name);
  if (server === undefined) throw new Error(`Expected the shape to have a ${name}`);
  return server;
}

async function whenAtLeast({ shape: { source } }: Stage, series: string, value: number): Promise<void> {
  await eventually(
    async () => {
      const now = await source.metric(series);
      if ((now ?? 0) >= value) return true;
      throw new Error(
        `Expected ${series} to reach ${String(value)}, it is ${String(now)}; the log:\n${source.log().slice(-3000)}`,
      );
    },
    { timeoutMs: 120_000, message: series },
  );
}

async function whenIs({ shape: { source } }: Stage, series: string, value: number): Promise<void> {
  await eventually(async () => (await source.metric(series)) === value, {
    timeoutMs: 120_000,
    message: `${series} ${String(value)}`,
  });
}

if (isLongForm)
  void t.test(
    'three services: a broker that stands still fills the spool and no more, and everything arrives when it goes on',
    async (t) => {
      const stage = await setStage(t, 'three services', { load });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(1_000);
      serverOf(stage, 'RabbitMQ').freeze();
      await whenAtLeast(stage, 'hydrant_firehose_spool_full_total', 1);
      const total = stage.endLoad();
      // n.b. a chunk of the stream goes in whole.
      const bytes = await source.metric('hydrant_firehose_spool_bytes');
      await eventually(() => stage.simulator.state.clients === 0, {
        timeoutMs: 120_000,
        message: 'the stream that is not read is closed',
      });
      const peak = await source.peakMemory();
      serverOf(stage, 'RabbitMQ').thaw();
      await stage.whenArrived(total);

      t.ok(bytes !== undefined && bytes < 14 * mebibyte, `the spool holds its 12 MiB, not ${String(bytes)} bytes`);
      t.ok(peak < 300 * mebibyte, `${String(Math.round(peak / mebibyte))} MiB at most`);
      t.equal(stage.arrived(), total);
      t.ok(
        await source.metric('hydrant_firehose_stream_failures_total{reason="spool-full"}'),
        'and closed by the firehose',
      );
      t.ok((await source.peakMemory()) < 300 * mebibyte);
    },
  );

if (isLongForm)
  void t.test(
    'three services: with a spool folder a dead broker, a dead firehose and a Nomad that forgot lose nothing',
    async (t) => {
      const dir = await mkdtemp(join(tmpdir(), 'hydrant-spool-'));
      t.teardown(() => rm(dir, { recursive: true, force: true }));
      const stage = await setStage(t, 'three services', { load, firehose: { FIREHOSE_SPOOL_DIR: dir } });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(500);
      await serverOf(stage, 'RabbitMQ').kill();
      await whenAtLeast(stage, 'hydrant_firehose_spool_events', 2_000);
      const total = stage.endLoad();
      const { newestIndex = 0 } = stage.simulator.state;
      await whenIs(stage, 'hydrant_firehose_read_index', newestIndex);
      await source.kill();
      stage.simulator.control.evict(newestIndex - 50);
      await serverOf(stage, 'RabbitMQ').start();
      await source.start();
      await stage.whenArrived(total);

      t.equal(stage.arrived(), total);
      t.equal(await source.metric('hydrant_firehose_gaps_total{reason="evicted"}'), 0, 'nothing had to be healed');
    },
  );

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'standalone')
    void t.test(`${shapeName}: a destination that is down fills its queue and stops no reading`, async (t) => {
      const stage = await setStage(t, shapeName);

      await stage.play();
      await stage.whenArrived(100);
      stage.collector.setDown(true);
      await stage.simulator.finished;
      await whenIs(stage, 'hydrant_firehose_read_index', stage.simulator.state.newestIndex ?? 0);
      await whenIs(stage, 'hydrant_firehose_spool_events', 0);
      const arrivedWhileDown = stage.arrived();
      stage.collector.setDown(false);
      await stage.whenArrived(stage.expected.length);

      t.ok(arrivedWhileDown < stage.expected.length);
    });
}

if (isLongForm)
  void t.test(
    'standalone: a destination that is down fills the log and then the spool, and everything arrives when it is back',
    async (t) => {
      const stage = await setStage(t, 'standalone', { load, firehose: { FIREHOSE_SPOOL_MAX_BYTES: '8MiB' } });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(500);
      stage.collector.setDown(true);
      // Both sinks deliver to the destination that is down; the one that is further behind is named.
      await eventually(
        () => {
          if (/"subscription":"hydrant\.sink\.(?:http|alerts)".*The log is full/u.test(source.log())) return true;
          throw new Error(
            `Expected the log to say that it is full, and for which sink; it says:\n${source.log().slice(-3000)}`,
          );
        },
        { timeoutMs: 120_000, message: 'a full log' },
      );
      await whenAtLeast(stage, 'hydrant_firehose_spool_full_total', 1);
      const total = stage.endLoad();
      const peak = await source.peakMemory();
      stage.collector.setDown(false);
      await stage.whenArrived(total);

      t.ok(peak < 500 * mebibyte, `${String(Math.round(peak / mebibyte))} MiB at most`);
    },
  );
