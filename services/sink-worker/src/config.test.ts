import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { sinkTypes } from '@hydrant/sinks/registry';
import t from 'tap';
import { resolveSink, sinkProblems, sinkWorkerSettings, typeProblems, withSinkSettings } from './config.ts';

/** As main does it. */
function load(env: Record<string, string>) {
  const type = env['SINK_TYPE'];
  return loadConfig(withSinkSettings(sinkWorkerSettings, type), {
    env,
    problems: typeProblems(type, 'environment'),
    check: (values) => sinkProblems(type, values),
  });
}

void t.test('the queue and its bindings follow from the sink', (t) => {
  const http = { SINK_TYPE: 'http', SINK_HTTP_ADDRESS: 'http://localhost/' };
  const cases = [
    [http, { queue: 'hydrant.sink.http', bindings: ['event.#'] }],
    [
      { ...http, SINK_NAME: 'audit' },
      { queue: 'hydrant.sink.audit', bindings: ['event.#'] },
    ],
    [
      { ...http, AMQP_QUEUE: 'mine', AMQP_BINDINGS: 'event.Job.#, crash-loop' },
      { queue: 'mine', bindings: ['event.Job.#', 'crash-loop'] },
    ],
    [{ SINK_TYPE: 'rabbitmq', SINK_AMQP_EXCHANGE: 'copy' }, { queue: 'hydrant.sink.amqp' }],
    [
      { SINK_TYPE: 's3', SINK_S3_BUCKET: 'b' },
      { delivery: { batchEvents: null, batchBytes: 16_777_216, batchAgeMs: 300_000, prefetch: 65_535 } },
    ],
    [{ SINK_TYPE: 'stdout' }, { delivery: { concurrency: 1, prefetch: 200 } }],
  ] as const;
  for (const [env, expected] of cases) t.match(resolveSink(load(env)).worker, expected, JSON.stringify(env));
  t.end();
});

void t.test('every problem is named at once', (t) => {
  const cases: readonly (readonly [Record<string, string>, readonly string[]])[] = [
    [{}, ['`SINK_TYPE`']],
    [
      { SINK_TYPE: 'pigeon', SINK_TIMEOUT: '10' },
      [`\`SINK_TYPE\` to be one of ${sinkTypes.join(', ')}, got "pigeon" (environment)`, '`SINK_TIMEOUT`'],
    ],
    [
      { SINK_TYPE: 'http', SINK_BATCH_AGE: 'soon', HTTP_PORT: '99999' },
      ['`SINK_HTTP_ADDRESS`', '`SINK_BATCH_AGE`', '`HTTP_PORT`'],
    ],
    [
      { SINK_TYPE: 'http', SINK_HTTP_ADDRESS: 'http://x/', SINK_BATCH_AGE: '31m' },
      ['`SINK_BATCH_AGE` to be a duration such as "25s", "5m" or "1h30m", between 0s and 15m'],
    ],
    [
      { SINK_TYPE: 'http', SINK_HTTP_ADDRESS: 'http://x/', SINK_BATCH_AGE: '15m', SINK_PAUSE_AFTER: '11m' },
      ['to be at most 25m together, as RabbitMQ takes back what is held for 30m, got 15m and 11m'],
    ],
    [
      { SINK_TYPE: 'http', SINK_HTTP_ADDRESS: 'http://x/', SINK_RETRY_MIN: '1m', SINK_HTTP_RETRY_STATUSES: 'all' },
      ['`SINK_RETRY_MIN`', '`SINK_HTTP_RETRY_STATUSES`'],
    ],
  ];
  for (const [env, problems] of cases) {
    for (const problem of problems)
      t.throws(
        () => load(env),
        { code: 'config-invalid', message: new RegExp(problem.replaceAll(/[()]/gu, '\\$&'), 'u') },
        problem,
      );
  }
  t.end();
});
