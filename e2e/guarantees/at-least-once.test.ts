/**
 * Promise 1: every event that the stream delivered reaches every queue at least once, its bytes unchanged, whatever
 * dies in between.
 */
import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import { isLongForm } from '../src/form.ts';
import { hashOf } from '../src/event-hashes.ts';
import { setStage, shapeNames } from '../src/stage.ts';

for (const shapeName of shapeNames) {
  void t.test(`${shapeName}: every event reaches HTTP and S3 byte for byte`, async (t) => {
    const stage = await setStage(t, shapeName, { withS3: true });

    await stage.play();
    await stage.whenArrived(stage.expected.length);
    const codes = await stage.shape.stop();

    t.equal(stage.expected.length, 879);
    t.same(
      [...stage.collector.events.keys()].filter((hash) => !stage.expected.includes(hash)),
      [],
      'nothing else arrives',
    );
    t.same(
      codes,
      codes.map(() => 0),
      'every process ends with exit code 0',
    );
    const stored = new Set(((await stage.s3?.lines()) ?? []).map(hashOf));
    t.same(
      stage.expected.filter((hash) => !stored.has(hash)),
      [],
      'nothing is missing in S3',
    );
  });

  if (isLongForm || shapeName === 'three services')
    void t.test(`${shapeName}: every event arrives though each process is killed in the middle`, async (t) => {
      const stage = await setStage(t, shapeName);

      await stage.play();
      for (const [position, process] of stage.shape.processes.entries()) {
        await stage.whenArrived(
          Math.ceil((stage.expected.length * (position + 1)) / (stage.shape.processes.length + 2)),
        );
        await process.kill();
        await process.start();
      }
      await stage.whenArrived(stage.expected.length);

      t.equal(stage.arrived(), 879);
    });
}

if (isLongForm)
  void t.test('three services: every event arrives though RabbitMQ and Redis are killed in the middle', async (t) => {
    const stage = await setStage(t, 'three services');

    await stage.play();
    for (const [position, server] of stage.shape.servers.entries()) {
      await stage.whenArrived(200 * (position + 1));
      await server.restart();
    }
    await stage.whenArrived(stage.expected.length);

    t.equal(stage.arrived(), 879);
  });

if (isLongForm)
  void t.test('three services: the checkpoint stays before what the broker has not confirmed', async (t) => {
    const stage = await setStage(t, 'three services', { load: { eventsPerSecond: 1_000 } });
    const { source, servers } = stage.shape;
    const [broker] = servers;
    if (broker === undefined) throw new Error('Expected a broker among the servers');

    await stage.play();
    await stage.whenArrived(500);
    broker.freeze();
    await eventually(async () => ((await source.metric('hydrant_firehose_unconfirmed_events')) ?? 0) >= 500, {
      timeoutMs: 60_000,
      message: 'events that are not confirmed',
    });
    const total = stage.endLoad();
    // n.b. it saves the checkpoint for the last time; what the broker was sent dies with the broker.
    t.equal(await source.stop(), 0);
    await broker.kill();
    await broker.start();
    await source.start();
    await stage.whenArrived(total);

    t.equal(stage.arrived(), total);
  });
