/**
 * Promise 5: a crash loop is announced, once, over restarts of the detectors and of what they depend on; what people
 * restart is not. n.b. a detector that died between the alert's confirm and its own repeats the alert, under the id
 * that it had: so what is counted are ids.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import type { ServiceProcess } from '../src/service-process.ts';
import type { Server } from '../src/shape.ts';
import type { Stage } from '../src/stage.ts';
import { setStage, shapeNames } from '../src/stage.ts';

const looping = ['billing-sync', 'checkout-api', 'geo-index', 'node-agent', 'thumbnailer'];

/** Waits for the five; whatever else is announced has been by then, because alerts keep the order of the events. */
async function whenAnnounced(stage: Stage): Promise<void> {
  await eventually(
    () => {
      const missing = looping.filter((job) => !stage.collector.alerts.some((alert) => alert.LastEvent.JobID === job));
      if (missing.length > 0)
        throw new Error(
          `Expected alerts for ${missing.join(', ')}; log:\n${stage.shape.processes.map((process) => process.log().slice(-2000)).join('\n')}`,
        );
      return true;
    },
    { timeoutMs: 60_000, message: 'five alerts arrive' },
  );
}

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'standalone')
    void t.test(`${shapeName}: announces exactly the five loops of the recording`, async (t) => {
      const stage = await setStage(t, shapeName, { shiftToNow: true });

      await stage.play();
      await stage.whenArrived(stage.expected.length);
      await whenAnnounced(stage);
      await stage.shape.stop();

      t.same(stage.collector.alerts.map((alert) => alert.LastEvent.JobID).sort(), looping);
      t.same(
        stage.collector.alerts.map((alert) => alert.Status),
        looping.map(() => 'opened'),
      );
    });

  if (isLongForm)
    void t.test(`${shapeName}: announces each loop, under one id, whatever dies in between`, async (t) => {
      const stage = await setStage(t, shapeName, { detectors: 2, shiftToNow: true });

      await stage.play();
      for (const { arrived, detector, server, waits } of chooseDeaths(stage, 1)) {
        await stage.whenArrived(arrived);
        await detector.kill();
        const restarted = server?.restart();
        await detector.start({ wait: waits });
        await restarted;
      }
      await stage.whenArrived(stage.expected.length);
      await Promise.all(stage.shape.detectors.map((detector) => detector.ready()));
      await whenAnnounced(stage);
      await stage.shape.stop();

      const ids = new Map(stage.collector.alerts.map((alert) => [alert.Id, alert.LastEvent.JobID]));
      t.same([...ids.values()].sort(), looping);
    });
}

interface Death {
  /** When so many events have arrived. */
  readonly arrived: number;
  readonly detector: ServiceProcess;
  /** Dies and comes back at the same time. */
  readonly server: Server | undefined;
  /** False: the detector may die again while it starts. */
  readonly waits: boolean;
}

/** Eight deaths of detectors, in the middle of which each server dies once. */
function chooseDeaths({ expected, shape }: Stage, seed: number): readonly Death[] {
  const random = makeRandom(seed);
  const moments = Array.from({ length: 8 }, () => random(expected.length)).sort((a, b) => a - b);
  return moments.map((arrived, position) => {
    const detector = shape.detectors[random(shape.detectors.length)];
    if (detector === undefined) throw new Error('Expected a process that detects crash loops');
    return { arrived, detector, server: shape.servers[position - 3], waits: random(2) === 0 };
  });
}

/** Numbers from 0 below `limit`, the same for the same seed. */
function makeRandom(seed: number): (limit: number) => number {
  let state = Math.imul(seed, 2_654_435_761) >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * limit);
  };
}
