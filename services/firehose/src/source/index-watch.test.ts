import { systemClock } from '@hydrant/shared/foundation/clock';
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { createIndexWatch } from './index-watch.ts';

t.test('it asks again and again, over failures, until it is stopped', async (t) => {
  const answers: readonly (() => Promise<number | undefined>)[] = [
    () => Promise.resolve(7),
    () => Promise.resolve(undefined),
    () => Promise.reject(new Error('away')),
    () => Promise.resolve(9),
  ];
  let asked = 0;
  const told: number[] = [];
  const watch = createIndexWatch({
    leaderIndex: () => answers[Math.min(asked++, answers.length - 1)]?.() ?? Promise.resolve(undefined),
    telemetry: {
      nomadIndexRead: (index) => {
        told.push(index);
      },
    },
    clock: systemClock,
    everyMs: 1,
  });

  watch.start();
  await eventually(() => told.includes(9));
  await watch.stop();
  await watch.stop();

  t.strictSame(told.slice(0, 2), [7, 9]);
  const before = asked;
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  t.equal(asked, before);
});

t.test('stop ends a question that nobody answers', async () => {
  let isAsked = false;
  const watch = createIndexWatch({
    leaderIndex: (signal) =>
      new Promise((_resolve, reject) => {
        isAsked = true;
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
    telemetry: { nomadIndexRead: () => undefined },
    clock: systemClock,
  });

  watch.start();
  await eventually(() => isAsked);
  await watch.stop();
});
