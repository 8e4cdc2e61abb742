/** What the settings keep secret appears in no error, no log line and no printed configuration, of no sink. */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { formatConfig } from '@hydrant/shared/runtime/config/print-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { startHttpReceiver } from '@hydrant/testing/http-receiver';
import { recordingLog } from '@hydrant/testing/test-log';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { findSink, sinkTypes, type AnySink } from './registry.ts';

const secret = 'Hunter2Secret0000000000000000000';
/** Repeated as it is and as it was encoded. */
const querySecret = `${secret}/in a query`;
const signing = `whsec_${Buffer.from(secret).toString('base64')}`;

/** Nobody listens there. */
const nowhere = '127.0.0.1:1';

/**
 * For sinks whose secrets have a form of their own, or that speak HTTP; with all secrets at once. The others need no
 * row.
 */
function valuesFor(type: string, httpUrl: string): Readonly<Record<string, string>> | undefined {
  const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    http: {
      SINK_HTTP_ADDRESS: `${httpUrl}/in?key=${secret}`,
      SINK_HTTP_SIGNING_SECRET: signing,
      SINK_HTTP_HEADERS: `X-Key: ${secret}`,
      SINK_HTTP_BASIC_AUTH: '',
    },
    loki: { SINK_LOKI_ADDRESS: `${httpUrl}/?key=${secret}`, SINK_LOKI_BASIC_AUTH: '' },
    slack: { SINK_SLACK_WEBHOOK_URL: `${httpUrl}/services/${secret}?key=${encodeURIComponent(querySecret)}` },
    pagerduty: { SINK_PAGERDUTY_ADDRESS: `${httpUrl}/?key=${secret}` },
    amqp: {
      SINK_AMQP_CONNECTION: `amqp://ann:${secret}@${nowhere}/`,
      AMQP_CONNECTION: `amqp://ann:${secret}@${nowhere}/other`,
      SINK_AMQP_EXCHANGE: 'elsewhere',
    },
    redis: { SINK_REDIS_URL: `redis://ann:${secret}@${nowhere}/0` },
    mongodb: { SINK_MONGODB_CONNECTION: `mongodb://ann:${secret}@${nowhere}/?serverSelectionTimeoutMS=200` },
    syslog: { SINK_SYSLOG_PROTO: 'tcp', SINK_SYSLOG_ADDR: nowhere },
    sqs: { SINK_SQS_ENDPOINT: `http://ann:${secret}@${nowhere}`, SINK_SQS_REGION: 'eu-central-1' },
    kinesis: { SINK_KINESIS_ENDPOINT: `http://ann:${secret}@${nowhere}`, SINK_KINESIS_REGION: 'eu-central-1' },
    eventbridge: { SINK_EVENT_BUS_ENDPOINT: `http://ann:${secret}@${nowhere}`, SINK_EVENT_BUS_REGION: 'eu-central-1' },
    s3: { SINK_S3_ENDPOINT: `http://ann:${secret}@${nowhere}/?key=${secret}`, SINK_S3_REGION: 'eu-central-1' },
    file: { SINK_FILE_PATH: '/nowhere/events.ndjson' },
  };
  return cases[type];
}

const hostAndPort = /[a-z0-9-]+(?:\.[a-z0-9-]+)*:\d{1,5}/gu;

/** What a sink has to be given, as its examples say, with addresses at which it fails at once. */
function requiredValues({ settings }: AnySink): Record<string, string> {
  const required = Object.entries(settings).filter(
    ([, setting]) => setting.required === true && setting.example !== undefined,
  );
  return Object.fromEntries(
    required.map(([name, setting]) => [name, (setting.example ?? '').replaceAll(hostAndPort, nowhere)]),
  );
}

/**
 * Where there is no row of values, one for each secret: several may be ways to log in of which only one is taken. A
 * password goes with the user of its name.
 */
function makeEnvironments(definition: AnySink, httpUrl: string): readonly Record<string, string>[] {
  const { type, settings } = definition;
  const secrets = Object.keys(settings).filter(
    (name) => settings[name]?.sensitive === true && settings[name].format.parse(secret) !== undefined,
  );
  const required = requiredValues(definition);
  const values = valuesFor(type, httpUrl);
  if (values !== undefined)
    return [
      {
        ...required,
        ...Object.fromEntries(secrets.map((name) => [name, secret])),
        ...Object.fromEntries(Object.entries(values).filter(([name]) => name in settings)),
      },
    ];
  if (secrets.length === 0) return [required];
  return secrets.map((name) => {
    const user = name.replace(/PASSWORD$/u, 'USER');
    return { ...required, ...(user in settings ? { [user]: 'ann' } : {}), [name]: secret };
  });
}

function load({ settings, check }: AnySink, env: Record<string, string>): Values<Schema> {
  // `check` is given what the schema made.
  return loadConfig(settings, { env, check: (values) => check?.(values as Values<Schema>) ?? [] });
}

const limitMs = 5000;

for (const type of sinkTypes.filter((type) => type !== 'stdout')) {
  void t.test(`${type} keeps its secrets to itself`, async (t) => {
    process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE';
    process.env['AWS_SECRET_ACCESS_KEY'] = secret;
    const definition = findSink(type);
    if (definition === undefined) throw new Error(`Expected a sink ${type}`);
    // It says back all that it was sent, as badly behaved servers do.
    const receiver = await startHttpReceiver(t, {
      answer: ({ path, headers, body }) => ({
        status: 401,
        body: `${path} ${JSON.stringify(headers)} ${body.toString()}`,
      }),
    });
    const environments = makeEnvironments(definition, receiver.url);
    t.ok(environments.length > 0);
    for (const env of environments) {
      const text = await sayEverything(t, definition, env);
      for (const form of [secret, encodeURIComponent(secret), Buffer.from(`ann:${secret}`).toString('base64'), signing])
        t.notOk(text.includes(form), around(text, form));
    }
  });

  void t.test(`${type} does not repeat a secret that is wrong`, (t) => {
    const definition = findSink(type);
    if (definition === undefined) throw new Error(`Expected a sink ${type}`);
    const { settings } = definition;
    const secrets = Object.keys(settings).filter((name) => settings[name]?.sensitive === true);
    for (const name of secrets) {
      // A line break is in no secret that any of them takes.
      const text = ((): string => {
        try {
          load(definition, { [name]: `${secret}\n:// ${secret}` });
          return '';
        } catch (error) {
          return describeError(error);
        }
      })();
      t.notOk(text.includes(secret), around(text, secret));
    }
    t.end();
  });
}

/** All that a sink prints, logs and throws while it does what a sink can. */
async function sayEverything(t: Test, definition: AnySink, env: Record<string, string>): Promise<string> {
  const values = load(definition, env);
  const { log, lines } = recordingLog('trace');
  const said: unknown[] = [formatConfig(definition.settings, values)];
  const sink = definition.create(values, { log, name: definition.type });
  const limit = new AbortController();
  const timer = systemClock.after(limitMs, () => {
    limit.abort();
  });
  t.teardown(() => {
    timer.cancel();
  });
  const { signal } = limit;
  for (const act of [
    () => sink.connect(signal),
    () => sink.write([makeSinkMessage(1)], signal),
    () => sink.healthcheck(signal),
  ]) {
    const error = await act().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    said.push(describeError(error), error);
  }
  await sink.close();
  return inspect([said, lines], { depth: 12, maxStringLength: null });
}

function around(text: string, found: string): string {
  const at = text.indexOf(found);
  return at < 0 ? 'it is not there' : text.slice(Math.max(0, at - 200), at + 100);
}
