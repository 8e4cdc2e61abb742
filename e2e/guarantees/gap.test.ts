/**
 * Promise 2: what Nomad's buffer dropped while Hydrant could not read is noticed, counted, and healed from the lists:
 * every object arrives in its newest state.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import { newestStates } from '../src/newest-states.ts';
import { setStage, shapeNames, type Stage } from '../src/stage.ts';

async function playTo({ simulator }: Stage, index: number): Promise<void> {
  simulator.control.resume();
  await eventually(() => simulator.state.finished || (simulator.state.newestIndex ?? 0) >= index, {
    timeoutMs: 60_000,
  });
  simulator.control.pause();
}

/** Nomad forgets everything but its newest five transactions. */
async function playUnseen(stage: Stage): Promise<void> {
  await playTo(stage, 250);
  stage.simulator.control.evict((stage.simulator.state.newestIndex ?? 0) - 5);
}

async function whenHealed(stage: Stage): Promise<void> {
  const { source } = stage.shape;
  await eventually(() => source.log().includes('Healed from the lists'), {
    timeoutMs: 60_000,
    message: `a healing; the log:\n${source.log().slice(-3000)}`,
  });
}

async function whenStatesArrived({ collector }: Stage): Promise<void> {
  const expected = await newestStates();
  await eventually(
    () => {
      const missing = [...expected].filter(([object, index]) => (collector.states.get(object) ?? 0) < index);
      if (missing.length > 0)
        throw new Error(
          `Expected every object in its newest state, ${String(missing.length)} are missing, such as ${String(missing[0])}`,
        );
      return true;
    },
    { timeoutMs: 60_000, message: 'the newest states arrive' },
  );
}

function gapsOf({ shape }: Stage): Promise<number | undefined> {
  return shape.source.metric('hydrant_firehose_gaps_total{reason="evicted"}');
}

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'three services')
    void t.test(`${shapeName}: what was dropped while the stream was cut is counted and healed`, async (t) => {
      const stage = await setStage(t, shapeName, { lists: 'played' });
      const { control } = stage.simulator;

      await stage.play();
      await stage.whenArrived(150);
      control.pause();
      await control.refuse();
      control.cut();
      await playUnseen(stage);
      await control.heal();
      await whenHealed(stage);
      await playTo(stage, Infinity);
      await whenStatesArrived(stage);

      t.equal(await gapsOf(stage), 1);
      t.ok(stage.arrived() < stage.expected.length, 'no list gives back what was in between');
    });

  if (isLongForm)
    void t.test(`${shapeName}: what was dropped while the process was dead is counted and healed`, async (t) => {
      const stage = await setStage(t, shapeName, { lists: 'played' });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(150);
      stage.simulator.control.pause();
      await eventually(async () => await source.metric('hydrant_firehose_checkpoint_saves_total{outcome="saved"}'), {
        timeoutMs: 30_000,
      });
      await source.kill();
      await playUnseen(stage);
      await source.start();
      await whenHealed(stage);
      await playTo(stage, Infinity);
      await whenStatesArrived(stage);

      t.equal(await gapsOf(stage), 1);
    });
}
