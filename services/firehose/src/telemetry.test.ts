import { systemClock } from '@hydrant/shared/foundation/clock';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { createFirehoseTelemetry } from './telemetry.ts';

t.test('of a failure to publish that lasts people hear again, not each time; a new one they hear of at once', (t) => {
  let nowMs = 0;
  const { log, lines } = recordingLog();
  const telemetry = createFirehoseTelemetry(log, createMetrics({ service: 'test', version: '0' }), {
    ...systemClock,
    monotonic: () => nowMs,
  });
  const err = new Error('refused');
  const heard = (): number[] =>
    lines.filter(({ msg }) => msg.startsWith('Publishing failed')).map(({ unconfirmed }) => unconfirmed as number);

  for (const [second, isRepeat] of [
    [0, false],
    [10, true],
    [59, true],
    [60, true],
    [70, true],
    [80, false],
    [130, true],
    [140, true],
  ] as const) {
    nowMs = second * 1000;
    telemetry.publishFailed({ unconfirmed: second, isRepeat, err });
  }

  t.same(heard(), [0, 60, 80, 140]);
  t.end();
});

t.test('events that no queue takes are counted, and said once a minute with their key', async (t) => {
  let nowMs = 0;
  const { log, lines } = recordingLog();
  const metrics = createMetrics({ service: 'test', version: '0' });
  const telemetry = createFirehoseTelemetry(log, metrics, { ...systemClock, monotonic: () => nowMs });

  for (let n = 0; n < 61; n += 1) {
    nowMs = n * 1000;
    telemetry.eventConfirmed('unrouted', n, `event.Job.${String(n)}`);
    telemetry.eventConfirmed('routed', n, 'event.Node');
  }

  t.match(lines, [
    { level: 'warn', routingKey: 'event.Job.0', messages: 1, msg: /^No queue is bound/u },
    { routingKey: 'event.Job.60', messages: 60 },
  ]);
  t.equal(lines.length, 2);
});
