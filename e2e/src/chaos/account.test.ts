/** What each event is counted as, by what is known of it. */
import t from 'tap';
import { accountFor, joinRanges } from './account.ts';
import { EventTally } from './event-tally.ts';

function makeEvent(index: number, key: string, type = 'AllocationUpdated'): Buffer {
  return Buffer.from(
    JSON.stringify({
      Topic: 'Allocation',
      Type: type,
      Key: key,
      Namespace: 'default',
      FilterKeys: ['job'],
      Index: index,
      Payload: { Allocation: { JobID: 'job' } },
    }),
  );
}

/** Four events: 10 and 12 of object a, 11 and 13 of object b. */
function makeTally(): EventTally {
  const tally = new EventTally(() => 0);
  for (const index of [10, 11, 12, 13]) tally.noteMade(index, keyOf(index), makeEvent(index, keyOf(index)));
  return tally;
}

function keyOf(index: number): string {
  return index % 2 === 0 ? 'a' : 'b';
}

function arrive(tally: EventTally, ...indexes: readonly number[]): void {
  for (const index of indexes) tally.noteArrived(makeEvent(index, keyOf(index)));
}

const nothing = { delivered: 0, deadLettered: 0, healed: 0, superseded: 0 };

const cases: readonly {
  readonly name: string;
  readonly happens: (tally: EventTally) => void;
  readonly counts: object;
  readonly unaccounted: readonly number[];
}[] = [
  {
    name: 'everything arrived',
    happens: (tally) => {
      arrive(tally, 13, 12, 11, 10);
    },
    counts: { delivered: 4 },
    unaccounted: [],
  },
  {
    name: 'one did not arrive, though Nomad had it',
    happens: (tally) => {
      arrive(tally, 10, 12, 13);
    },
    counts: { delivered: 3 },
    unaccounted: [11],
  },
  {
    name: 'one lies with the dead letters',
    happens(tally) {
      arrive(tally, 10, 12, 13);
      tally.noteDeadLetter(makeEvent(11, 'b'));
    },
    counts: { delivered: 3, deadLettered: 1 },
    unaccounted: [],
  },
  {
    name: 'dead letter and delivered count as delivered',
    happens(tally) {
      arrive(tally, 10, 11, 12, 13);
      tally.noteDeadLetter(makeEvent(11, 'b'));
    },
    counts: { delivered: 4 },
    unaccounted: [],
  },
  {
    name: 'Nomad had two no longer: a newer event of one came, the state of the other came from a list',
    happens(tally) {
      arrive(tally, 10, 13);
      tally.noteOpened(10, 13);
      tally.noteArrived(makeEvent(12, 'a', 'Snapshot'));
    },
    counts: { delivered: 2, healed: 1, superseded: 1 },
    unaccounted: [],
  },
  {
    name: 'Nomad had one no longer, and nothing newer of it came',
    happens(tally) {
      arrive(tally, 10, 11, 13);
      tally.noteOpened(11, 13);
    },
    counts: { delivered: 3 },
    unaccounted: [12],
  },
  {
    name: 'a state from a list does not excuse what Nomad had',
    happens(tally) {
      arrive(tally, 10, 11, 13);
      tally.noteArrived(makeEvent(12, 'a', 'Snapshot'));
    },
    counts: { delivered: 3 },
    unaccounted: [12],
  },
  {
    name: 'what was asked for and there is no gap',
    happens(tally) {
      arrive(tally, 10, 11, 12);
      tally.noteOpened(12, 10);
    },
    counts: { delivered: 3 },
    unaccounted: [13],
  },
  {
    name: 'an empty buffer has nothing that was asked for',
    happens(tally) {
      arrive(tally, 10, 11);
      tally.noteOpened(11, undefined);
      tally.noteArrived(makeEvent(12, 'a', 'Snapshot'));
      tally.noteArrived(makeEvent(13, 'b', 'Snapshot'));
    },
    counts: { delivered: 2, healed: 2 },
    unaccounted: [],
  },
];

for (const { name, happens, counts, unaccounted } of cases) {
  t.test(name, (t) => {
    const tally = makeTally();
    happens(tally);

    const account = accountFor(tally);

    t.match(account, { ...nothing, ...counts });
    t.same(
      account.unaccounted.map(({ index }) => index),
      unaccounted,
    );
    t.end();
  });
}

t.test('overlapping ranges become one, others stay', (t) => {
  const ranges = [
    { first: 20, last: 30, atMs: 3 },
    { first: 1, last: 5, atMs: 1 },
    { first: 4, last: 9, atMs: 2 },
    { first: 10, last: 11, atMs: 2 },
  ];

  t.same(
    joinRanges(ranges).map(({ first, last }) => [first, last]),
    [
      [1, 11],
      [20, 30],
    ],
  );
  t.end();
});

t.test('repeats, strangers and changed bytes are told apart', (t) => {
  const tally = makeTally();
  arrive(tally, 10, 10, 99);
  tally.noteArrived(makeEvent(11, 'b', 'Other'));

  t.equal(tally.arrived, 2);
  t.equal(tally.repeats, 1);
  t.equal(tally.foreign, 1);
  t.same(tally.altered, [11]);
  t.end();
});

t.test('the time from making to the first arrival is given once, also beyond the first room', (t) => {
  let nowMs = 0;
  const tally = new EventTally(() => nowMs);
  const last = 70_000;
  for (let index = 0; index <= last; index += 1) tally.noteMade(index, 'a', makeEvent(index, 'a'));
  nowMs = 250;

  t.equal(tally.noteArrived(makeEvent(last, 'a')), 250);
  t.equal(tally.noteArrived(makeEvent(last, 'a')), undefined);
  t.equal(tally.newestStateOf(0), last);
  t.end();
});
