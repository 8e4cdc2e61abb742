import t from 'tap';
import { createCheckpointTracker, type CheckpointTracker } from './tracker.ts';

type Step =
  | readonly ['begin', number]
  | readonly ['sent', number, number | undefined]
  | readonly ['confirmed', number]
  | readonly ['passed', number, number]
  | readonly ['back']
  | readonly ['hold', number]
  | readonly ['reread', number];

function take(tracker: CheckpointTracker, step: Step): void {
  if (step[0] === 'begin') tracker.begin(0, step[1]);
  else if (step[0] === 'sent') tracker.sent(step[1], step[2]);
  else if (step[0] === 'confirmed') tracker.confirmed(step[1]);
  else if (step[0] === 'passed') tracker.passed(step[1], step[2]);
  else if (step[0] === 'hold') tracker.hold(step[1]);
  else if (step[0] === 'reread') tracker.rereadAfter(step[1]);
  else tracker.goBack();
}

t.test('positions that are missing in the log hold nothing up', (t) => {
  const tracker = createCheckpointTracker();
  for (const position of [5, 7, 8]) tracker.sent(position, position * 10);

  for (const position of [8, 7]) tracker.confirmed(position);
  t.equal(tracker.position, 0);
  tracker.confirmed(6);
  tracker.confirmed(5);

  t.equal(tracker.position, 8);
  t.end();
});

t.test('the checkpoint is the highest index with all its events confirmed', (t) => {
  const sentFour: Step[] = [
    ['sent', 1, 10],
    ['sent', 2, 10],
    ['sent', 3, 11],
    ['sent', 4, 12],
  ];
  const cases: readonly {
    readonly name: string;
    readonly steps: readonly Step[];
    readonly lastRead: number;
    readonly index: number | undefined;
    readonly position: number;
  }[] = [
    { name: 'nothing sent', steps: [], lastRead: 0, index: undefined, position: 0 },
    { name: 'nothing confirmed', steps: sentFour, lastRead: 4, index: undefined, position: 0 },
    {
      name: 'one of two events of an index',
      steps: [...sentFour, ['confirmed', 1]],
      lastRead: 4,
      index: undefined,
      position: 1,
    },
    {
      name: 'both events of an index',
      steps: [...sentFour, ['confirmed', 1], ['confirmed', 2]],
      lastRead: 4,
      index: 10,
      position: 2,
    },
    {
      name: 'out of order',
      steps: [...sentFour, ['confirmed', 4], ['confirmed', 2], ['confirmed', 1]],
      lastRead: 4,
      index: 10,
      position: 2,
    },
    {
      name: 'the hole filled',
      steps: [...sentFour, ['confirmed', 4], ['confirmed', 3], ['confirmed', 2], ['confirmed', 1]],
      lastRead: 4,
      index: 12,
      position: 4,
    },
    {
      name: 'more was read that may have the same index',
      steps: [
        ['sent', 1, 9],
        ['sent', 2, 10],
        ['confirmed', 1],
        ['confirmed', 2],
      ],
      lastRead: 3,
      index: 9,
      position: 2,
    },
    {
      name: 'sent again after going back',
      steps: [
        ...sentFour,
        ['confirmed', 1],
        ['confirmed', 3],
        ['back'],
        ['sent', 2, 10],
        ['sent', 3, 11],
        ['confirmed', 2],
      ],
      lastRead: 4,
      index: 10,
      position: 2,
    },
    {
      name: 'an index that went back',
      steps: [
        ['sent', 1, 500],
        ['sent', 2, 3],
        ['confirmed', 1],
        ['confirmed', 2],
      ],
      lastRead: 2,
      index: 3,
      position: 2,
    },
    {
      name: 'nothing but what is left out',
      steps: [
        ['passed', 0, 8],
        ['passed', 0, 9],
      ],
      lastRead: 0,
      index: 9,
      position: 0,
    },
    {
      name: 'left out after what is confirmed',
      steps: [
        ['sent', 1, 10],
        ['passed', 1, 11],
        ['confirmed', 1],
      ],
      lastRead: 1,
      index: 11,
      position: 1,
    },
    {
      name: 'left out after what is not confirmed',
      steps: [
        ['sent', 1, 10],
        ['sent', 2, 11],
        ['passed', 2, 12],
        ['confirmed', 1],
      ],
      lastRead: 2,
      index: 10,
      position: 1,
    },
    {
      name: 'left out before what is confirmed',
      steps: [
        ['passed', 0, 9],
        ['sent', 1, 10],
        ['confirmed', 1],
      ],
      lastRead: 1,
      index: 10,
      position: 1,
    },
    {
      name: 'more was read after what is left out',
      steps: [
        ['sent', 1, 10],
        ['confirmed', 1],
        ['passed', 1, 11],
      ],
      lastRead: 2,
      index: undefined,
      position: 1,
    },
    {
      name: 'what was listed before anything of the stream',
      steps: [
        ['sent', 1, undefined],
        ['confirmed', 1],
      ],
      lastRead: 1,
      index: undefined,
      position: 1,
    },
    {
      name: 'what was listed between two events',
      steps: [
        ['sent', 1, 10],
        ['sent', 2, undefined],
        ['sent', 3, 11],
        ['confirmed', 1],
        ['confirmed', 2],
      ],
      lastRead: 3,
      index: 10,
      position: 2,
    },
    {
      name: 'what was listed is on its way, and more of the index may follow it',
      steps: [
        ['sent', 1, 9],
        ['sent', 2, 10],
        ['sent', 3, undefined],
        ['confirmed', 1],
        ['confirmed', 2],
      ],
      lastRead: 3,
      index: 9,
      position: 2,
    },
    {
      name: 'an unknown position',
      steps: [
        ['sent', 1, 10],
        ['confirmed', 7],
        ['confirmed', 1],
        ['confirmed', 1],
      ],
      lastRead: 1,
      index: 10,
      position: 1,
    },
  ];
  for (const { name, steps, lastRead, index, position } of cases) {
    const tracker = createCheckpointTracker();
    for (const step of steps) take(tracker, step);

    t.equal(tracker.index(lastRead), index, name);
    t.equal(tracker.position, position, name);
  }
  t.end();
});

t.test('what is to be read a second time holds the checkpoint until it has come and is confirmed', (t) => {
  const readTo12: Step[] = [
    ['begin', 8],
    ['sent', 1, 10],
    ['sent', 2, 11],
    ['sent', 3, 12],
  ];
  const confirmedTo12: Step[] = [...readTo12, ['confirmed', 1], ['confirmed', 2], ['confirmed', 3]];
  const cases: readonly {
    readonly name: string;
    readonly steps: readonly Step[];
    readonly lastRead: number;
    readonly index: number | undefined;
    readonly lowered: number | undefined;
  }[] = [
    { name: 'never held', steps: confirmedTo12, lastRead: 3, index: 12, lowered: undefined },
    { name: 'held where it was', steps: [...confirmedTo12, ['hold', 12]], lastRead: 3, index: 12, lowered: 12 },
    { name: 'held further back', steps: [...confirmedTo12, ['hold', 10]], lastRead: 3, index: 10, lowered: 10 },
    { name: 'held twice', steps: [...confirmedTo12, ['hold', 10], ['hold', 11]], lastRead: 3, index: 10, lowered: 10 },
    {
      name: 'held beyond what is confirmed',
      steps: [...readTo12, ['confirmed', 1], ['hold', 12]],
      lastRead: 3,
      index: 10,
      lowered: 10,
    },
    {
      name: 'held before anything is confirmed',
      steps: [...readTo12, ['hold', 11]],
      lastRead: 3,
      index: 8,
      lowered: 8,
    },
    {
      name: 'held before what an earlier process stored',
      steps: [...readTo12, ['hold', 5]],
      lastRead: 3,
      index: 5,
      lowered: 5,
    },
    {
      name: 'held before anything was stored',
      steps: [
        ['sent', 1, 10],
        ['hold', 5],
      ],
      lastRead: 1,
      index: undefined,
      lowered: undefined,
    },
    {
      name: 'the rest of the first reading is confirmed',
      steps: [...readTo12, ['hold', 10], ['confirmed', 1], ['confirmed', 2], ['confirmed', 3]],
      lastRead: 3,
      index: 10,
      lowered: 10,
    },
    {
      name: 'something else follows',
      steps: [...confirmedTo12, ['hold', 10], ['sent', 4, 12], ['reread', 4], ['confirmed', 4]],
      lastRead: 4,
      index: 10,
      lowered: 10,
    },
    {
      name: 'it has come',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, 10], ['sent', 5, 11]],
      lastRead: 5,
      index: 10,
      lowered: 10,
    },
    {
      name: 'what a list gave is confirmed',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, undefined], ['sent', 5, 10], ['confirmed', 4]],
      lastRead: 5,
      index: 10,
      lowered: 10,
    },
    {
      name: 'its first index is confirmed',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, 10], ['sent', 5, 11], ['confirmed', 4]],
      lastRead: 5,
      index: 10,
      lowered: 10,
    },
    {
      name: 'its first index in part',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, 10], ['sent', 5, 10], ['confirmed', 4]],
      lastRead: 5,
      index: 10,
      lowered: 10,
    },
    {
      name: 'it begins later',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, 12], ['sent', 5, 12], ['confirmed', 4]],
      lastRead: 5,
      index: 10,
      lowered: 10,
    },
    {
      name: 'indexes began anew',
      steps: [...confirmedTo12, ['hold', 10], ['reread', 3], ['sent', 4, 2], ['sent', 5, 2], ['confirmed', 4]],
      lastRead: 5,
      index: undefined,
      lowered: 8,
    },
    {
      name: 'more of it is confirmed',
      steps: [
        ...confirmedTo12,
        ['hold', 10],
        ['reread', 3],
        ['sent', 4, 10],
        ['sent', 5, 11],
        ['sent', 6, 12],
        ['confirmed', 4],
        ['confirmed', 5],
      ],
      lastRead: 6,
      index: 11,
      lowered: 11,
    },
    {
      name: 'all of it',
      steps: [
        ...confirmedTo12,
        ['hold', 10],
        ['reread', 3],
        ['sent', 4, 10],
        ['sent', 5, 12],
        ['confirmed', 5],
        ['confirmed', 4],
      ],
      lastRead: 5,
      index: 12,
      lowered: 12,
    },
    {
      name: 'sent again after going back',
      steps: [
        ...confirmedTo12,
        ['hold', 10],
        ['reread', 3],
        ['sent', 4, 10],
        ['back'],
        ['sent', 4, 10],
        ['confirmed', 4],
      ],
      lastRead: 4,
      index: 10,
      lowered: 10,
    },
    {
      name: 'all that came is left out',
      steps: [...confirmedTo12, ['passed', 3, 14], ['hold', 10], ['reread', 3], ['passed', 3, 13]],
      lastRead: 3,
      index: 13,
      lowered: 13,
    },
    {
      name: 'what was left out the first time proves nothing',
      steps: [...confirmedTo12, ['passed', 3, 14], ['hold', 13]],
      lastRead: 3,
      index: 12,
      lowered: 12,
    },
  ];
  for (const { name, steps, lastRead, index, lowered } of cases) {
    const tracker = createCheckpointTracker();
    for (const step of steps) take(tracker, step);

    t.equal(tracker.index(lastRead), index, name);
    t.equal(tracker.lowered, lowered, `${name}: lowered`);
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
