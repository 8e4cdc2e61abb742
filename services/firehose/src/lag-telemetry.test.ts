import { systemClock } from '@hydrant/shared/foundation/clock';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import t from 'tap';
import { createLagTelemetry, type LagTelemetry } from './lag-telemetry.ts';

interface Setup {
  readonly lag: LagTelemetry;
  pending: number;
  pass(seconds: number): void;
  read(gauge: string): Promise<number>;
}

function setUp(): Setup {
  let nowMs = 1_000;
  const metrics = createMetrics({ service: 'test', version: '0' });
  const lag = createLagTelemetry(metrics, { ...systemClock, monotonic: () => nowMs });
  const setup: Setup = {
    lag,
    pending: 0,
    pass(seconds) {
      nowMs += seconds * 1000;
    },
    async read(gauge) {
      const line = (await metrics.text()).split('\n').find((text) => text.startsWith(`hydrant_firehose_${gauge} `));
      return Number(line?.split(' ')[1]);
    },
  };
  lag.begin(() => setup.pending);
  return setup;
}

t.test('lag is the age of the oldest event that is not confirmed', async (t) => {
  const setup = setUp();
  t.equal(await setup.read('lag_seconds'), 0);

  setup.lag.framesRead(1, 10);
  setup.pass(5);
  setup.lag.framesRead(2, 12);
  setup.pending = 3;
  setup.pass(1);
  t.equal(await setup.read('lag_seconds'), 6);

  setup.lag.confirmed(10);
  t.equal(await setup.read('lag_seconds'), 1);

  setup.lag.confirmed(12);
  setup.pending = 0;
  setup.pass(100);
  t.equal(await setup.read('lag_seconds'), 0, 'a quiet cluster is no lag');
});

t.test('lag follows indexes that begin anew, and forgets what nobody confirms', async (t) => {
  const setup = setUp();
  setup.lag.framesRead(1, 5_000);
  setup.pass(50);
  setup.lag.framesRead(1, 7);
  setup.pending = 1;
  setup.pass(2);
  t.equal(await setup.read('lag_seconds'), 2);

  setup.pending = 0;
  t.equal(await setup.read('lag_seconds'), 0, 'frames that were left out are confirmed by nobody');
  setup.pending = 1;
  setup.lag.framesRead(1, 9);
  t.equal(await setup.read('lag_seconds'), 0);
});

t.test('lag stays right over more frames than are remembered', async (t) => {
  const setup = setUp();
  setup.pending = 5_000;
  for (let index = 1; index <= 5_000; index += 1) {
    setup.lag.framesRead(1, index);
    setup.pass(1);
  }
  t.equal(await setup.read('lag_seconds'), 5_000);

  setup.lag.confirmed(2_500);
  const seconds = await setup.read('lag_seconds');
  t.ok(seconds > 2_400 && seconds <= 2_500, `${String(seconds)} s, good to a few frames of a hundred`);
});

t.test('the buffer lasts as its busiest minute says, which a replay does not count for', async (t) => {
  const setup = setUp();
  setup.lag.streamOpened();
  setup.lag.framesRead(100, 100);
  t.equal(
    await setup.read('buffer_seconds'),
    3_600,
    'what a new stream begins with came at once, but did not happen at once',
  );

  for (let minute = 0; minute < 3; minute += 1) {
    setup.pass(60);
    setup.lag.framesRead(minute === 1 ? 600 : 60, 200 + minute);
  }
  t.equal(await setup.read('buffer_seconds'), 10, '100 frames at 10 in a second');

  setup.lag.streamEnded();
  setup.pass(3_000);
  t.equal(await setup.read('buffer_seconds'), 10, 'while nothing is read the past is the best guess');
  setup.lag.streamOpened();
  setup.pass(5);
  setup.lag.framesRead(1, 300);
  t.equal(await setup.read('buffer_seconds'), 3_600, 'and what is too long ago is none');
});

t.test('away is from the end of a stream to the beginning of the next, or while there is no room', async (t) => {
  const setup = setUp();
  setup.pass(4);
  t.equal(await setup.read('away_seconds'), 4, 'from the start');

  setup.lag.streamOpened();
  setup.pass(4_000);
  t.equal(await setup.read('away_seconds'), 0, 'a quiet stream is read');

  setup.lag.streamEnded();
  setup.pass(2);
  setup.lag.streamEnded();
  setup.pass(2);
  t.equal(await setup.read('away_seconds'), 4, 'over several tries');

  setup.lag.streamOpened();
  setup.lag.waitsForRoom();
  setup.pass(3);
  t.equal(await setup.read('away_seconds'), 3, 'an open stream that is not read');
  setup.lag.framesRead(1, 9);
  t.equal(await setup.read('away_seconds'), 0);

  setup.pending = 5;
  setup.lag.streamEnded();
  setup.lag.rest();
  setup.pass(1_000);
  t.equal(await setup.read('away_seconds'), 0, 'who stands by is not away');
  t.equal(await setup.read('lag_seconds'), 0);
});
