import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import t from 'tap';
import { createQueueWait, type QueueWait } from './queue-wait.ts';

const forever = new AbortController().signal;

interface Setup {
  readonly wait: QueueWait;
  readonly said: string[];
}

/** `answers` says for each look, one a second, which queues there are; the last one holds on. */
function setUp(queues: readonly string[], answers: readonly (readonly string[] | Error)[]): Setup {
  let nowMs = 0;
  const clock: Clock = {
    ...systemClock,
    monotonic: () => nowMs,
    sleep(ms) {
      nowMs += ms;
      return Promise.resolve();
    },
  };
  const said: string[] = [];
  const bus = {
    hasQueue(name: string) {
      const answer = answers[Math.min(nowMs / 1000, answers.length - 1)] ?? [];
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer.includes(name));
    },
  };
  const telemetry = {
    queuesMissing: (missing: readonly string[]) => {
      said.push(`${String(nowMs / 1000)} s: no ${missing.join()}`);
    },
    queuesFound: (found: readonly string[]) => {
      said.push(`${String(nowMs / 1000)} s: ${found.join()}`);
    },
  };
  return { wait: createQueueWait(queues, { bus, telemetry, clock }), said };
}

t.test('a missing queue is said at once, again each minute, and when it is there', async (t) => {
  const { wait, said } = setUp(['a', 'b'], [...Array.from({ length: 125 }, () => ['a']), ['a', 'b']]);

  await wait.wait(forever);

  t.strictSame(said, ['0 s: no b', '60 s: no b', '120 s: no b', '125 s: a,b']);
  t.strictSame(
    wait.healthChecks.map((check) => check.check()),
    [{ status: 'pass' }],
  );
});

t.test('all queues have to be there at once', async (t) => {
  const { wait, said } = setUp(['a', 'b'], [['a'], ['b'], ['a', 'b']]);

  await wait.wait(forever);

  t.strictSame(said, ['0 s: no b', '2 s: a,b']);
});

t.test('a bus that cannot answer is waited for and says its own troubles', async (t) => {
  const outage = new HydrantError('Expected a connection', { code: 'bus-unavailable', retryable: true });
  const { wait, said } = setUp(['a'], [outage, outage, ['a']]);
  t.match(wait.healthChecks[0]?.check(), { status: 'fail', detail: 'not asked for yet: a' });

  await wait.wait(forever);

  t.strictSame(said, []);
});

t.test('with no queue named there is nothing to wait for or to report', async (t) => {
  const { wait, said } = setUp([], []);

  await wait.wait(forever);

  t.strictSame([wait.healthChecks.length, said.length], [0, 0]);
});
