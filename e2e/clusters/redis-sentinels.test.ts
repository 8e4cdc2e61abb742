/**
 * What docs/scaling.md says of Redis with Sentinels: the master dies, another one takes its place, and events, alerts
 * and the checkpoint go on.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { startOneRabbitMq } from '../src/backends.ts';
import { startRedisWithSentinels } from '../src/clusters.ts';
import { startServices } from '../src/services-shape.ts';
import { setStage } from '../src/stage.ts';
import { openCheckpoint } from '../src/stored-checkpoint.ts';

const failoverMs = 60_000;

void t.test(
  'the Redis master dies in the middle: every event arrives, five crash loops are announced, and the checkpoint goes on',
  async (t) => {
    const [broker, stateStore] = [await startOneRabbitMq(), await startRedisWithSentinels()];
    const stage = await setStage(t, (options) => startServices(options, { broker, stateStore }), {
      speed: 3,
      shiftToNow: true,
    });
    const readers = await Promise.all(stateStore.replicas.map(({ url }) => openCheckpoint(t, url)));
    const readIndexes = async () =>
      (await Promise.all(readers.map((read) => read()))).map(({ index }) => Number(index));
    await stage.play();
    await stage.whenArrived(Math.ceil(stage.expected.length / 3));
    await eventually(async () => (await readIndexes()).every((index) => index > 0), {
      timeoutMs: failoverMs,
      message: 'the replicas have a checkpoint',
    });

    await stateStore.master.kill();
    await stage.whenArrived(stage.expected.length);
    const last = await stage.shape.source.metric('hydrant_firehose_confirmed_index');
    await eventually(async () => (await readIndexes()).every((index) => index === last), {
      timeoutMs: failoverMs,
      message: 'the new master and its replica have the last checkpoint',
    });
    const announced = () => [...new Set(stage.collector.alerts.map(({ Id }) => Id))];
    await eventually(() => announced().length >= 5, {
      timeoutMs: failoverMs,
      message: 'five crash loops are announced',
    });

    t.equal(stage.arrived(), 879);
    t.equal(announced().length, 5);
    t.same(await stage.shape.stop(), [0, 0, 0, 0], 'a clean end');
  },
);

void t.test(
  'the Redis master dies while one of two firehoses leads: every event arrives, and one leads again',
  async (t) => {
    const [broker, stateStore] = [await startOneRabbitMq(), await startRedisWithSentinels()];
    const stage = await setStage(t, (options) => startServices(options, { broker, stateStore }), {
      speed: 3,
      firehose: { FIREHOSE_HA: 'true' },
    });
    const { source: first, secondSource: second } = stage.shape;
    if (second === undefined) throw new Error('Expected three services to have a second firehose');
    await stage.play();
    await second.start();
    await stage.whenArrived(Math.ceil(stage.expected.length / 3));

    await stateStore.master.kill();
    await stage.whenArrived(stage.expected.length);
    const leaders = async () =>
      (await Promise.all([first, second].map((firehose) => firehose.metric('hydrant_firehose_leader')))).filter(
        (leads) => leads === 1,
      ).length;
    await eventually(async () => (await leaders()) > 0, { timeoutMs: failoverMs, message: 'one of them leads' });

    t.equal(stage.arrived(), 879);
    t.equal(await leaders(), 1, 'the other one does not');
  },
);
