import t from 'tap';
import { choose, readCommandLine } from './command-line.ts';

t.test('without arguments everything is measured in full and the page is written', (t) => {
  t.strictSame(readCommandLine([]), {
    names: [],
    isAxes: false,
    against: undefined,
    seconds: undefined,
    rounds: 3,
    isPageWanted: true,
  });
  t.end();
});

t.test('a part, or a shorter form, leaves the page alone unless it is asked for', (t) => {
  for (const args of [['firehose'], ['--seconds=20'], ['--rounds=1'], ['--axes', 'size']]) {
    t.equal(readCommandLine(args).isPageWanted, false, args.join(' '));
    t.equal(readCommandLine([...args, '--page']).isPageWanted, true);
  }
  t.end();
});

t.test('another forwarder has a command and a name', (t) => {
  t.strictSame(readCommandLine(['--against', 'forward --to {destination}', '--as', 'forward']).against, {
    command: 'forward --to {destination}',
    label: 'forward',
  });
  t.equal(readCommandLine(['--against', 'forward']).against?.label, 'other forwarder');
  t.throws(() => readCommandLine(['--as', 'forward']), /--against/u);
  t.end();
});

t.test('what cannot be meant is refused', (t) => {
  for (const arg of ['--seconds=0', '--seconds=1m', '--rounds=-1', '--unknown'])
    t.throws(() => readCommandLine([arg]), arg);
  t.end();
});

t.test('names choose rows in the order of the benchmark; an unknown one is an error that lists them', (t) => {
  const rows = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
  const known = ['a', 'b', 'c', 'd'];
  t.strictSame(choose(rows, [], known), rows);
  t.strictSame(choose(rows, ['c', 'a', 'd'], known), [{ name: 'a' }, { name: 'c' }]);
  t.throws(() => choose(rows, ['x'], known), /a, b, c, d.*got x/u);
  t.end();
});
