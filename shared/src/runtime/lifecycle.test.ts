import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { systemClock, type Clock } from '../foundation/clock.ts';
import type { Component } from './component.ts';
import { createLifecycle } from './lifecycle.ts';

const running = new AbortController().signal;

/** A component that notes what is done to it. */
function makeComponent(name: string, events: string[], overrides: Partial<Component> = {}): Component {
  return {
    name,
    async start(signal) {
      events.push(`${name} starts`);
      await overrides.start?.(signal);
    },
    async stop(deadline) {
      events.push(`${name} stops`);
      await overrides.stop?.(deadline);
    },
  };
}

function never(): Promise<void> {
  return new Promise(() => undefined);
}

/** A clock whose timers run out when `pass` says so. */
function createHandClock(): { readonly clock: Clock; pass(ms: number): void } {
  const timers = new Set<{ readonly at: number; readonly action: () => void }>();
  let now = 0;
  const clock: Clock = {
    ...systemClock,
    after(ms, action) {
      const timer = { at: now + ms, action };
      timers.add(timer);
      return {
        cancel: () => {
          timers.delete(timer);
        },
      };
    },
  };
  return {
    clock,
    pass(ms) {
      now += ms;
      for (const timer of timers) if (timer.at <= now && timers.delete(timer)) timer.action();
    },
  };
}

void t.test('components start in order and stop in reverse', async (t) => {
  const events: string[] = [];
  const components = ['a', 'b', 'c'].map((name) => makeComponent(name, events));
  const lifecycle = createLifecycle({ components, stopTimeoutMs: 1000, log: testLog(), clock: systemClock });

  await lifecycle.start(running);
  const failures = await Promise.all([lifecycle.stop(), lifecycle.stop()]);

  t.same(failures, [[], []]);
  t.same(events, ['a starts', 'b starts', 'c starts', 'c stops', 'b stops', 'a stops']);
});

void t.test('a failed start stops what was started and is thrown', async (t) => {
  const events: string[] = [];
  const { log, lines } = recordingLog('error');
  const components = [
    makeComponent('a', events, { stop: () => Promise.reject(new Error('a cannot')) }),
    makeComponent('b', events, { start: () => Promise.reject(new Error('no port')) }),
    makeComponent('c', events),
  ];
  const lifecycle = createLifecycle({ components, stopTimeoutMs: 1000, log, clock: systemClock });

  await t.rejects(lifecycle.start(running), { message: 'no port' });

  t.same(events, ['a starts', 'b starts', 'b stops', 'a stops']);
  t.match(lines, [{ err: { message: 'a: a cannot' } }]);
});

void t.test('a component that cannot stop does not keep the others from it', async (t) => {
  const events: string[] = [];
  const components = [
    makeComponent('a', events),
    makeComponent('b', events, { stop: () => Promise.reject(new Error('broken')) }),
  ];
  const lifecycle = createLifecycle({ components, stopTimeoutMs: 1000, log: testLog(), clock: systemClock });
  await lifecycle.start(running);

  const failures = await lifecycle.stop();

  t.same(
    failures.map(({ message }) => message),
    ['b: broken'],
  );
  t.same(events.slice(2), ['b stops', 'a stops']);
});

void t.test('stop waits for the component that is starting, and no other one starts', async (t) => {
  const events: string[] = [];
  const starting = new AbortController();
  const slow = makeComponent('slow', events, {
    start: (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('gave up'));
        });
      }),
  });
  const lifecycle = createLifecycle({
    components: [makeComponent('a', events), slow, makeComponent('c', events)],
    stopTimeoutMs: 1000,
    log: testLog(),
    clock: systemClock,
  });
  const started = lifecycle.start(starting.signal);
  await eventually(() => events.includes('slow starts'));

  starting.abort();
  const failures = await lifecycle.stop();

  await t.resolves(started, 'a start that was called off is no failure');
  t.same(failures, []);
  t.same(events, ['a starts', 'slow starts', 'slow stops', 'a stops']);
});

void t.test('who hangs is named within the timeout, after the others were stopped', async (t) => {
  const events: string[] = [];
  const { clock, pass } = createHandClock();
  const tillDeadline = (deadline: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      deadline.addEventListener('abort', () => {
        resolve();
      });
    });
  const components = [
    makeComponent('a', events),
    makeComponent('b', events, { stop: never }),
    makeComponent('c', events, { stop: never }),
    makeComponent('d', events, { stop: tillDeadline }),
  ];
  const lifecycle = createLifecycle({ components, stopTimeoutMs: 10_000, log: testLog(), clock });
  await lifecycle.start(running);

  const stopped = lifecycle.stop();
  await eventually(() => events.includes('d stops'));
  t.notOk(events.includes('c stops'), 'each waits for the one before it');
  pass(9000);
  await eventually(() => events.includes('c stops'));
  t.notOk(events.includes('b stops'));
  pass(400);
  await eventually(() => events.includes('a stops'));
  pass(400);

  t.same(
    (await stopped).map(({ message }) => message),
    ['c', 'b'].map((name) => `${name}: it did not stop before the deadline and was abandoned`),
  );
});
