/**
 * Promise 3: a message leaves a sink's queue only when the destination took it, or it lies in the dead-letter queue. A
 * dead destination means waiting, not dropping.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import type { ServiceProcess } from '../src/service-process.ts';
import { setStage, shapeNames } from '../src/stage.ts';

const batchEvents = 20;
/** Most messages that a worker has in hand: the batches in flight and the one that fills. */
const inHand = batchEvents * 5;

async function readPauses({ port }: ServiceProcess): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  return Number(/^hydrant_sink_pauses_total\{sink="http"\} (\d+)$/mu.exec(metrics)?.[1]);
}

async function readReadiness({ port }: ServiceProcess): Promise<string> {
  return (await fetch(`http://127.0.0.1:${String(port)}/readyz`)).text();
}

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'three services')
    void t.test(`${shapeName}: waits for a destination that is down and loses nothing`, async (t) => {
      const stage = await setStage(t, shapeName);

      await stage.play();
      await stage.whenArrived(100);
      stage.collector.setDown(true);
      await stage.simulator.finished;
      const arrivedWhileDown = stage.arrived();
      // Whoever called a message delivered that was only in its hand has lost it now.
      await stage.shape.worker.kill();
      stage.collector.setDown(false);
      await stage.shape.worker.start();
      await stage.whenArrived(stage.expected.length);

      t.ok(arrivedWhileDown < stage.expected.length);
      t.equal(stage.arrived(), 879);
    });

  if (isLongForm)
    void t.test(
      `${shapeName}: leaves the queue of a dead destination alone, loses nothing and causes no storm`,
      async (t) => {
        const stage = await setStage(t, shapeName, {
          sink: { SINK_PAUSE_AFTER: '1s', SINK_BATCH_EVENTS: String(batchEvents), SINK_RETRY_MIN: '50ms' },
        });
        const { collector, shape } = stage;

        await stage.play();
        await stage.whenArrived(100);
        collector.setDead(true);
        await stage.simulator.finished;
        await eventually(async () => (await readReadiness(shape.worker)).includes('left alone until it answers'), {
          timeoutMs: 60_000,
          message: 'the worker to leave its queue alone',
        });
        t.match(shape.worker.log(), 'Destination stays down');
        await eventually(async () => (await readPauses(shape.worker)) >= 4, {
          timeoutMs: 120_000,
          message: 'the destination to stay dead for several pauses',
        });
        const arrivedWhileDead = stage.arrived();
        collector.setDead(false);
        await stage.whenArrived(stage.expected.length);

        t.ok(arrivedWhileDead < stage.expected.length);
        t.equal(stage.arrived(), 879);
        await shape.worker.ready();
        const [redeliveries, pauses] = [await shape.redeliveries(), await readPauses(shape.worker)];
        t.ok(
          redeliveries === undefined || redeliveries <= pauses * inHand,
          `${String(redeliveries)} redeliveries in ${String(pauses)} pauses`,
        );
        t.ok(redeliveries === undefined || redeliveries > 0, 'the broker has counted');
      },
    );
}
