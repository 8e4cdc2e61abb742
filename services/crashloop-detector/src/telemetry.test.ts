import t from 'tap';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog } from '@hydrant/testing/test-log';
import {
  inputSettings,
  outputSettings,
  readDetectorOptions,
  readRules,
  rulesFileProblems,
  ruleSettings,
  sinkTypeSetting,
} from './config.ts';
import { createDetectorTelemetry } from './telemetry.ts';

t.test('counts what happens, and logs trouble once until it is over', async (t) => {
  const metrics = createMetrics({ service: 'test', version: '0' });
  const { log, lines } = recordingLog();
  const telemetry = createDetectorTelemetry({ metrics, log, destinationAdvice: 'bind a queue' });
  const away = new HydrantError('Redis is away', { code: 'redis-unavailable', retryable: true });

  telemetry.eventReceived('no-crash');
  telemetry.eventReceived('foreign');
  telemetry.eventReceived('foreign');
  telemetry.eventRetried(away);
  telemetry.eventRetried(away);
  telemetry.eventSettled();
  telemetry.eventRetried(away);
  telemetry.eventRefused(new HydrantError('No event', { code: 'event-invalid', retryable: false }));
  telemetry.eventRefused(new HydrantError('No event', { code: 'event-invalid', retryable: false }));
  telemetry.crashesMuted();
  telemetry.crashesToldTwice('q');
  telemetry.decided(
    {
      action: 'late',
      verdicts: [],
      clockBehindUs: 0,
      recorded: { restarts: 2, hidden: 1, failures: 1, requested: 3, forgotten: 2 },
    },
    0.002,
  );

  telemetry.ledgerSized({ lineages: 7, openLoops: 2 });
  telemetry.resolvedRetried(away);
  telemetry.resolvedRetried(away);

  t.equal(lines.length, 7);
  const text = await metrics.text();
  for (const expected of [
    'hydrant_crashloop_detector_events_total{outcome="foreign"} 2',
    'hydrant_crashloop_detector_events_total{outcome="refused"} 2',
    'hydrant_crashloop_detector_retries_total 5',
    'hydrant_crashloop_detector_crashes_total{kind="restart"} 2',
    'hydrant_crashloop_detector_crashes_total{kind="requested"} 3',
    'hydrant_crashloop_detector_late_loops_total 1',
    'hydrant_crashloop_detector_decide_seconds_count 1',
    'hydrant_crashloop_detector_lineages 7',
    'hydrant_crashloop_detector_open_loops 2',
    'hydrant_crashloop_detector_forgotten_lineages_total 2',
    'hydrant_crashloop_detector_muted_total 1',
  ])
    t.ok(text.includes(expected), expected);
});

t.test('a loop that nobody is told of, and a clock that is behind, are logged once', async (t) => {
  const { log, lines } = recordingLog();
  const telemetry = createDetectorTelemetry({
    metrics: createMetrics({ service: 'test', version: '0' }),
    log,
    destinationAdvice: 'set `SINK_TYPE`',
  });
  const place = { cluster: 'c', namespace: 'default', job: 'web', group: 'app', task: 'server' };
  const message = (id: string) => ({
    id,
    routingKey: 'crash-loop',
    type: '',
    contentType: '',
    appId: '',
    timestampMs: 0,
    headers: {},
    body: Buffer.alloc(0),
  });

  telemetry.alertUnrouted('opened', message('a/1'), place);
  telemetry.alertUnrouted('ongoing', message('a/2'), place);
  telemetry.alertUnrouted('resolved', message('a/resolved'), place);
  telemetry.alertUnrouted('opened', message('b/1'), place);
  telemetry.clockBehind('node-1', 3600);
  telemetry.clockBehind('node-1', 3601);

  t.match(lines, [
    { alert: 'a', status: 'opened', job: 'web', task: 'server', msg: /set `SINK_TYPE`/u },
    { alert: 'b' },
    { node: 'node-1', seconds: 3600 },
  ]);
  t.equal(lines.length, 3);
});

t.test('settings', async (t) => {
  const schema = { ...ruleSettings, ...inputSettings, ...outputSettings, SINK_TYPE: sinkTypeSetting(['http']) };

  t.test('have defaults that need nothing', async (t) => {
    t.match(readDetectorOptions(loadConfig(schema, { env: {} })), {
      queue: 'hydrant.crashloop-detector',
      bindings: ['event.Allocation.#'],
      groupBy: 'lineage',
      alertRoutingKey: 'crash-loop',
      rule: { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 },
    });
  });

  t.test('are refused all at once when they make no sense', async (t) => {
    const env = {
      RESTART_COUNT: '0',
      RESTART_INTERVAL: '0s',
      NOTIFICATION_INTERVAL: '10',
      DETECTOR_GROUP_BY: 'job',
      SINK_TYPE: 'pigeon',
    };
    const problems = Object.keys(env).map((name) => new RegExp(name, 'u'));

    for (const problem of problems)
      t.throws(() => loadConfig(schema, { env }), { code: 'config-invalid', message: problem });
  });

  t.test('take rules from a file, whose problems stand beside the others', async (t) => {
    const folder = testFolder(t, {
      'good.toml': '[[rule]]\njob = "a*"\nrestart_count = 2\n',
      'bad.toml': '[[rule]]\nrestart_count = -1\n',
    });
    const good = loadConfig(schema, { env: { DETECTOR_RULES_FILE: `${folder}/good.toml`, RESTART_INTERVAL: '1h' } });

    t.match(readRules(good).overrides, [{ rule: { count: 2, intervalMs: 3_600_000 } }]);
    t.same([rulesFileProblems(undefined), rulesFileProblems(`${folder}/good.toml`)], [[], []]);
    t.match(rulesFileProblems(`${folder}/bad.toml`), [/^Expected `RESTART_COUNT` .* got -1 \(rule 1 of /u]);
  });
});
