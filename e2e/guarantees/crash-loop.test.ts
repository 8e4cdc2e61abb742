/**
 * Promise 5: a crash loop is announced, once, over restarts of the detector; what people restart is not.
 */
import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import type { Stage } from '../src/stage.ts';
import { setStage, shapeNames } from '../src/stage.ts';

const looping = ['billing-sync', 'checkout-api', 'geo-index', 'node-agent', 'thumbnailer'];

/** Waits for the five; whatever else is announced has been by then, because alerts keep the order of the events. */
async function whenAnnounced(stage: Stage): Promise<void> {
  await eventually(() => {
    const missing = looping.filter((job) => !stage.collector.alerts.some((alert) => alert.LastEvent.JobID === job));
    if (missing.length > 0) throw new Error(`Expected alerts for ${missing.join(', ')}; log:\n${stage.shape.processes.map((process) => process.log().slice(-2000)).join('\n')}`);
    return true;
  }, { timeoutMs: 60_000, message: 'five alerts arrive' });
}

for (const shapeName of shapeNames) {
  void t.test(`${shapeName}: announces exactly the five loops of the recording`, async (t) => {
    const stage = await setStage(t, shapeName);

    await stage.play();
    await stage.whenArrived(stage.expected.length);
    await whenAnnounced(stage);
    await stage.shape.stop();

    t.same(stage.collector.alerts.map((alert) => alert.LastEvent.JobID).sort(), looping);
    t.same(stage.collector.alerts.map((alert) => alert.Status), looping.map(() => 'opened'));
  });

  void t.test(`${shapeName}: announces each loop under one id though the detector is killed`, async (t) => {
    const stage = await setStage(t, shapeName);
    const detector = stage.shape.processes.at(-1);
    if (detector === undefined) throw new Error('Expected a process of the detector');

    await stage.play();
    for (const count of [150, 350, 550]) {
      await stage.whenArrived(count);
      await detector.kill();
      await detector.start();
    }
    await stage.whenArrived(stage.expected.length);
    await whenAnnounced(stage);

    const ids = new Map(stage.collector.alerts.map((alert) => [alert.Id, alert.LastEvent.JobID]));
    t.same([...ids.values()].sort(), looping);
  });
}
