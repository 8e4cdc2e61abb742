/**
 * Promise 7: SIGTERM ends the intake, drains, settles, saves and exits 0 within SHUTDOWN_TIMEOUT; a second signal exits
 * at once. What was delivered and what comes after the next start is everything.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import type { ServiceProcess } from '../src/service-process.ts';
import { setStage, shapeNames, type Stage } from '../src/stage.ts';

const load = { eventsPerSecond: 500 };
const drained = 'Published everything that was read';
/** Exit code of a process that SIGTERM ended at once. */
const terminated = 143;

/** Holds up whatever takes what the process hands on, so that stopping has something to wait for. */
async function holdUp({ collector, shape }: Stage): Promise<{ readonly goOn: () => void }> {
  const [broker] = shape.servers;
  if (broker === undefined) {
    const before = collector.requests;
    collector.setSilent(true);
    await eventually(() => collector.requests > before, {
      timeoutMs: 30_000,
      message: 'a request that is not answered',
    });
  } else {
    broker.freeze();
    await eventually(async () => await shape.source.metric('hydrant_firehose_unconfirmed_events'), {
      timeoutMs: 30_000,
      message: 'unconfirmed events',
    });
  }
  return {
    goOn() {
      broker?.thaw();
      collector.setSilent(false);
    },
  };
}

async function whenStopping(process: ServiceProcess): Promise<void> {
  await eventually(() => process.log().includes('"Stopping"'), { timeoutMs: 30_000, message: 'the process stops' });
}

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'three services')
    void t.test(`${shapeName}: SIGTERM under load ends every process with 0, and nothing is lost`, async (t) => {
      const stage = await setStage(t, shapeName, { load });

      await stage.play();
      await stage.whenArrived(500);
      const startedMs = performance.now();
      const codes = await stage.shape.stop();
      const seconds = (performance.now() - startedMs) / 1000;
      const total = stage.endLoad();
      await stage.shape.start();
      await stage.whenArrived(total);

      t.same(
        codes,
        codes.map(() => 0),
      );
      // The firehose first, then the others at once, each within its 25 s.
      t.ok(seconds < 50, `${seconds.toFixed(1)} s`);
      t.equal(stage.arrived(), total);
      t.match(stage.shape.source.log(), drained);
    });

  if (isLongForm || shapeName === 'standalone')
    void t.test(`${shapeName}: what is under way when SIGTERM comes is waited for`, async (t) => {
      const stage = await setStage(t, shapeName, { load });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(500);
      const held = await holdUp(stage);
      const total = stage.endLoad();
      const stopped = source.stop();
      await whenStopping(source);
      await eventually(() => stage.simulator.state.clients === 0, {
        timeoutMs: 30_000,
        message: 'the stream is closed',
      });
      held.goOn();

      t.equal(await stopped, 0);
      t.match(source.log(), drained);
      await source.start();
      await stage.whenArrived(total);
    });

  if (isLongForm)
    void t.test(`${shapeName}: a second signal ends the process at once, and nothing is lost`, async (t) => {
      const stage = await setStage(t, shapeName, { load });
      const { source } = stage.shape;

      await stage.play();
      await stage.whenArrived(500);
      const held = await holdUp(stage);
      const total = stage.endLoad();
      source.signal('SIGTERM');
      await whenStopping(source);
      const code = await source.stop();
      held.goOn();
      await source.start();
      await stage.whenArrived(total);

      t.equal(code, terminated);
    });
}
