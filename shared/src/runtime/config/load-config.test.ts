import t from 'tap';
import { errorCode, toError } from '../../foundation/errors.ts';
import { amqpSettings, commonSettings, redisSettings } from './common-settings.ts';
import { bool, integer, list } from './formats.ts';
import { formatConfig } from './help.ts';
import { loadConfig } from './load-config.ts';
import type { Schema } from './setting.ts';

const settings = {
  ...commonSettings({ httpPort: 9401 }),
  ...amqpSettings,
  ...redisSettings,
  SINK_NAME: { doc: 'Name.', format: list, default: null, required: true },
  SINK_CONCURRENCY: { doc: 'Batches in flight.', format: integer({ min: 1, max: 100 }), default: 4, aliases: ['SINK_HTTP_WORKERS'] },
  NOTIFY_RESOLVED: { doc: 'Whether.', format: bool, default: true },
} as const satisfies Schema;

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig(settings, { env });
    return [];
  } catch (error) {
    t.equal(errorCode(error), 'config-invalid');
    return toError(error).message.split('\n');
  }
}

void t.test('environment stands before the file, the file before the default', (t) => {
  const folder = t.testdir({ 'hydrant.toml': 'sink_name = ["a", "b"]\nSHUTDOWN_TIMEOUT = "5s"\nLOG_LEVEL = "debug"\n' });

  const config = loadConfig(settings, { env: { CONFIG_FILE: `${folder}/hydrant.toml`, LOG_LEVEL: 'warn', HTTP_PORT: '' } });

  t.equal(config.LOG_LEVEL, 'warn');
  t.equal(config.SHUTDOWN_TIMEOUT, 5000);
  t.equal(config.HTTP_PORT, 9401, 'an empty variable counts as not set');
  t.same(config.SINK_NAME, ['a', 'b']);
  t.equal(config.AMQP_QUEUE_MAX_BYTES, null);
  t.end();
});

void t.test('every problem is named at once with value, expectation and origin', (t) => {
  const problems = problemsOf({ SHUTDOWN_TIMEOUT: '25', HTTP_PORT: '99999', SINK_CONCURRENCY: '1e3', NOTIFY_RESOLVED: 'maybe', AMQP_CONNECTION: 'http://user:hunter2@host' });

  t.same(problems.map((problem) => /`(\w+)`/u.exec(problem)?.[1]).sort(), ['AMQP_CONNECTION', 'HTTP_PORT', 'NOTIFY_RESOLVED', 'SHUTDOWN_TIMEOUT', 'SINK_CONCURRENCY', 'SINK_NAME']);
  t.match(problems.join('\n'), 'Expected `SHUTDOWN_TIMEOUT` to be a duration such as "25s", "5m" or "1h30m", got "25" (environment)');
  t.notMatch(problems.join('\n'), 'hunter2');
  t.end();
});

void t.test('a secret is read from the file that its variable names', (t) => {
  const folder = t.testdir({ url: 'redis://:pw@redis.example:6379/0\n' });

  t.equal(loadConfig(settings, { env: { SINK_NAME: 'x', REDIS_URL_FILE: `${folder}/url` } }).REDIS_URL, 'redis://:pw@redis.example:6379/0');
  t.match(problemsOf({ SINK_NAME: 'x', REDIS_URL_FILE: `${folder}/none` })[0], /Expected `REDIS_URL_FILE` to name a readable file/u);
  t.match(problemsOf({ SINK_NAME: 'x', REDIS_URL: 'redis://a', REDIS_URL_FILE: `${folder}/url` })[0], /got both/u);
  t.end();
});

void t.test('an unknown key of the file is refused with the nearest known one', (t) => {
  const folder = t.testdir({ 'hydrant.json': '{"SINK_NAME":"x","SHUTDOWN_TIMOUT":"5s"}' });

  t.match(problemsOf({ CONFIG_FILE: `${folder}/hydrant.json` })[0], /got `SHUTDOWN_TIMOUT`; did you mean `SHUTDOWN_TIMEOUT`\?/u);
  t.match(problemsOf({ SINK_NAME: 'x', CONFIG_FILE: `${folder}/none.toml` })[0], /Expected `CONFIG_FILE` to name a TOML or JSON file/u);
  t.end();
});

void t.test('an older name is read when the name itself is not set', (t) => {
  t.equal(loadConfig(settings, { env: { SINK_NAME: 'x', SINK_HTTP_WORKERS: '7' } }).SINK_CONCURRENCY, 7);
  t.end();
});

void t.test('the printed settings hold no secret', (t) => {
  const config = loadConfig(settings, { env: { SINK_NAME: 'x', AMQP_CONNECTION: 'amqp://user:hunter2@host/' } });

  const printed = formatConfig(settings, config);

  t.notMatch(printed, 'hunter2');
  t.match(printed, 'SHUTDOWN_TIMEOUT=25s');
  t.end();
});
