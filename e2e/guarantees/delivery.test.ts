/**
 * Promises 3 and 4: a message leaves a sink's queue only when the destination took it or it lies in the dead-letter queue; one that is refused stops nothing else.
 */
import t from 'tap';
import { setStage, shapeNames } from '../src/stage.ts';

for (const shapeName of shapeNames) {
  void t.test(`${shapeName}: waits for a destination that is down and loses nothing`, async (t) => {
    const stage = await setStage(t, shapeName);

    await stage.play();
    await stage.whenArrived(100);
    stage.collector.setDown(true);
    await stage.simulator.finished;
    const arrivedWhileDown = stage.arrived();
    stage.collector.setDown(false);
    await stage.whenArrived(stage.expected.length);

    t.ok(arrivedWhileDown < stage.expected.length);
    t.equal(stage.arrived(), 879);
  });

  void t.test(`${shapeName}: delivers everything but the one event that is refused`, async (t) => {
    const stage = await setStage(t, shapeName);
    const refused = stage.expected[400];
    if (refused === undefined) throw new Error('Expected 879 events in the recording');
    stage.collector.refuse(refused);

    await stage.play();
    await stage.whenArrived(stage.expected.length - 1);

    t.notOk(stage.collector.events.has(refused));
    t.equal(stage.arrived(), 878);
  });
}
