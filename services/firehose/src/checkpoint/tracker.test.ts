import t from 'tap';
import { createCheckpointTracker } from './tracker.ts';

type Step = readonly ['sent', number, number] | readonly ['confirmed', number] | readonly ['passed', number, number] | readonly ['back'];

t.test('the checkpoint is the highest index with all its events confirmed', (t) => {
  const sentFour: Step[] = [['sent', 1, 10], ['sent', 2, 10], ['sent', 3, 11], ['sent', 4, 12]];
  const cases: readonly { readonly name: string; readonly steps: readonly Step[]; readonly lastRead: number; readonly index: number | undefined; readonly position: number }[] = [
    { name: 'nothing sent', steps: [], lastRead: 0, index: undefined, position: 0 },
    { name: 'nothing confirmed', steps: sentFour, lastRead: 4, index: undefined, position: 0 },
    { name: 'one of two events of an index', steps: [...sentFour, ['confirmed', 1]], lastRead: 4, index: undefined, position: 1 },
    { name: 'both events of an index', steps: [...sentFour, ['confirmed', 1], ['confirmed', 2]], lastRead: 4, index: 10, position: 2 },
    { name: 'out of order', steps: [...sentFour, ['confirmed', 4], ['confirmed', 2], ['confirmed', 1]], lastRead: 4, index: 10, position: 2 },
    { name: 'the hole filled', steps: [...sentFour, ['confirmed', 4], ['confirmed', 3], ['confirmed', 2], ['confirmed', 1]], lastRead: 4, index: 12, position: 4 },
    { name: 'more was read that may have the same index', steps: [['sent', 1, 9], ['sent', 2, 10], ['confirmed', 1], ['confirmed', 2]], lastRead: 3, index: 9, position: 2 },
    { name: 'sent again after going back', steps: [...sentFour, ['confirmed', 1], ['confirmed', 3], ['back'], ['sent', 2, 10], ['sent', 3, 11], ['confirmed', 2]], lastRead: 4, index: 10, position: 2 },
    { name: 'an index that went back', steps: [['sent', 1, 500], ['sent', 2, 3], ['confirmed', 1], ['confirmed', 2]], lastRead: 2, index: 3, position: 2 },
    { name: 'nothing but what is left out', steps: [['passed', 0, 8], ['passed', 0, 9]], lastRead: 0, index: 9, position: 0 },
    { name: 'left out after what is confirmed', steps: [['sent', 1, 10], ['passed', 1, 11], ['confirmed', 1]], lastRead: 1, index: 11, position: 1 },
    { name: 'left out after what is not confirmed', steps: [['sent', 1, 10], ['sent', 2, 11], ['passed', 2, 12], ['confirmed', 1]], lastRead: 2, index: 10, position: 1 },
    { name: 'left out before what is confirmed', steps: [['passed', 0, 9], ['sent', 1, 10], ['confirmed', 1]], lastRead: 1, index: 10, position: 1 },
    { name: 'more was read after what is left out', steps: [['sent', 1, 10], ['confirmed', 1], ['passed', 1, 11]], lastRead: 2, index: undefined, position: 1 },
    { name: 'an unknown position', steps: [['sent', 1, 10], ['confirmed', 7], ['confirmed', 1], ['confirmed', 1]], lastRead: 1, index: 10, position: 1 },
  ];
  for (const { name, steps, lastRead, index, position } of cases) {
    const tracker = createCheckpointTracker();
    for (const step of steps) {
      if (step[0] === 'sent') tracker.sent(step[1], step[2]);
      else if (step[0] === 'confirmed') tracker.confirmed(step[1]);
      else if (step[0] === 'passed') tracker.passed(step[1], step[2]);
      else tracker.goBack();
    }

    t.equal(tracker.index(lastRead), index, name);
    t.equal(tracker.position, position, name);
  }
  t.end();
});

t.test('the window does not grow with what is done', (t) => {
  const tracker = createCheckpointTracker();
  for (let position = 1; position <= 10_000; position += 1) {
    tracker.sent(position, position);
    if (position > 5) tracker.confirmed(position - 5);
  }
  t.equal(tracker.position, 9_995);
  t.equal(tracker.index(10_000), 9_995);
  t.end();
});
