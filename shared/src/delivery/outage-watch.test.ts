import t from 'tap';
import type { Clock } from '../foundation/clock.ts';
import { systemClock } from '../foundation/clock.ts';
import { OutageWatch } from './outage-watch.ts';

const never = new AbortController().signal;

/** A clock whose one timer fires when the test says so. */
function makeClock(): {
  readonly clock: Clock;
  readonly timers: { readonly ms: number; readonly fire: () => void }[];
  setNow(ms: number): void;
} {
  let nowMs = 0;
  const timers: { readonly ms: number; readonly fire: () => void }[] = [];
  return {
    timers,
    setNow(ms) {
      nowMs = ms;
    },
    clock: {
      ...systemClock,
      monotonic: () => nowMs,
      after(ms, action) {
        let isCancelled = false;
        timers.push({
          ms,
          fire: () => {
            if (!isCancelled) action();
          },
        });
        return {
          cancel: () => {
            isCancelled = true;
          },
        };
      },
    },
  };
}

void t.test('an outage lasts from its first failure, unless something goes well', async (t) => {
  const { clock, timers, setNow } = makeClock();
  const watch = new OutageWatch(600_000, clock);
  const lasting = watch.whenLasting(never);

  watch.failed('first');
  watch.failed('second');
  watch.clear();
  watch.failed('third');
  t.same(
    timers.map(({ ms }) => ms),
    [600_000, 600_000],
  );
  timers[0]?.fire();
  watch.failed('fourth');
  setNow(600_000);
  timers[1]?.fire();

  t.same(await lasting, { reason: 'fourth', downMs: 600_000 });
  watch.clear();
  t.equal(await watch.whenLasting(AbortSignal.abort()), undefined);
});

void t.test('who waits is let go when it is told to', async (t) => {
  const stopping = new AbortController();
  const waiting = new OutageWatch(600_000, makeClock().clock).whenLasting(stopping.signal);
  stopping.abort();
  t.equal(await waiting, undefined);
});
