/** What the commands understand, and how they say it again. */
import t from 'tap';
import { makeCommand, readRunOptions } from './command-line.ts';

const chaos = { command: 'chaos', duration: '10m', shortestMs: 30_000, eventsPerSecond: 200 } as const;
const soak = { command: 'soak', duration: '15m', shortestMs: 60_000, eventsPerSecond: 2_000 } as const;

t.test('nothing given: the defaults, and the seed by chance', (t) => {
  const options = readRunOptions(['--for=', '--seed=', '--shape=', '--rate=', '--spool='], chaos, 77);

  t.same(options, {
    durationMs: 600_000,
    seed: 77,
    shapeName: 'three services',
    eventsPerSecond: 200,
    spoolsToFolder: true,
  });
  t.equal(makeCommand(options, chaos), 'make chaos FOR=10m SEED=77');
  t.end();
});

t.test('the command says again all that was given', (t) => {
  const options = readRunOptions(
    ['--for=3m', '--seed=0', '--shape=standalone', '--rate=50', '--spool=memory'],
    chaos,
    77,
  );

  t.equal(makeCommand(options, chaos), 'make chaos FOR=3m SEED=0 SHAPE=standalone RATE=50 SPOOL=memory');
  t.equal(
    makeCommand(readRunOptions(['--seed=1', '--shape=clusters'], chaos, 77), chaos),
    'make chaos FOR=10m SEED=1 SHAPE=clusters',
  );
  t.equal(makeCommand(readRunOptions(['--for=90s'], soak, 0), soak), 'make soak FOR=1m30s');
  t.end();
});

for (const [args, message] of [
  [['--for=10'], 'Expected FOR to be a duration such as 10m, 30s or more, got "10"'],
  [['--for=29s'], 'Expected FOR to be a duration such as 10m, 30s or more, got "29s"'],
  [['--seed=-1'], 'Expected SEED to be a whole number from 0 to 4294967295, got "-1"'],
  [['--seed=4294967296'], 'Expected SEED to be a whole number from 0 to 4294967295, got "4294967296"'],
  [['--rate=0'], 'Expected RATE to be a whole number from 1 to 100000, got "0"'],
  [['--shape=two'], 'Expected SHAPE to be services, clusters or standalone, got "two"'],
  [['--spool=disk'], 'Expected SPOOL to be folder or memory, got "disk"'],
] as const) {
  t.test(`${args.join(' ')} is refused`, (t) => {
    t.throws(() => readRunOptions(args, chaos, 1), { message });
    t.end();
  });
}
