import t from 'tap';
import { makeMessages } from '../spool-contract.ts';
import { RecentRecords } from './recent-records.ts';

const limits = { maxRecords: 1000, maxBytes: 1_000_000 };

/** Positions 1 to 5, 6 to 9 and 10, each batch of 100 bytes. */
function filled(maxBytes: number): RecentRecords {
  const recent = new RecentRecords(maxBytes);
  for (const [first, last] of [
    [1, 5],
    [6, 9],
    [10, 10],
  ] as const)
    recent.add({ first, messages: makeMessages(first, last), bytes: 100 });
  return recent;
}

const cases: readonly (readonly [string, RecentRecords, number, typeof limits, readonly number[]])[] = [
  ['from the first', filled(300), 1, limits, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ['from the middle of a batch', filled(300), 4, limits, [4, 5, 6, 7, 8, 9, 10]],
  ['from the last', filled(300), 10, limits, [10]],
  ['behind the last', filled(300), 11, limits, []],
  ['the oldest batch gave way', filled(299), 5, limits, []],
  ['what stayed', filled(299), 6, limits, [6, 7, 8, 9, 10]],
  ['too small for one batch', filled(99), 10, limits, []],
  ['at most so many', filled(300), 4, { ...limits, maxRecords: 3 }, [4, 5, 6]],
  ['at most so many bytes, but one', filled(300), 5, { ...limits, maxBytes: 1 }, [5]],
];

for (const [what, recent, position, most, expected] of cases) {
  t.test(what, (t) => {
    const records = recent.from(position, most);

    t.strictSame(
      records.map((record) => record.position),
      expected,
    );
    t.strictSame(
      records.map(({ message }) => message.id),
      expected.map((one) => makeMessages(one, one)[0]?.id),
    );
    t.end();
  });
}
