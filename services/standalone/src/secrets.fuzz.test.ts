/**
 * Addresses as people mistype them, in every setting: what is secret in one appears neither in an error nor in the
 * printed configuration.
 */
import { describeError } from '@hydrant/shared/foundation/errors';
import { formatConfig } from '@hydrant/shared/runtime/config/print-config';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { loadServiceConfig } from '@hydrant/shared/runtime/run-service';
import { findSink, sinkTypes } from '@hydrant/sinks/registry';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import t from 'tap';
import { standaloneInput, standaloneSchema } from './config.ts';

const canary = 'CANARY';

function makeAddress({ below, pick }: Random): string {
  const junk = (): string =>
    Array.from({ length: below(4) }, () =>
      pick([
        '"',
        ' ',
        '%',
        '@',
        '/',
        '?',
        '#',
        ',',
        ':',
        '\\',
        '[',
        ']',
        '\t',
        '\u00e9',
        '\u2028',
        "'",
        '%zz',
        '%40',
        '&',
        '=',
        '<',
        '{',
        '12',
        'a',
      ]),
    ).join('');
  const secret = (): string => `${junk()}${canary}${junk()}`;
  const scheme = (): string =>
    pick(['http', 'https', 'redis', 'rediss', 'amqp', 'amqps', 'mongodb', 'nats', 'unix', 'htp', 'HTTP', '']);
  const slashes = (): string => pick(['://', '://', '://', '://', ':/', ':', '//', ':///', ':\\\\']);
  const login = (): string => pick([`ru:${secret()}@`, `${canary}@`, `:${secret()}@`, `ru:12/${secret()}@`, '']);
  const query = (): string =>
    pick([`?key=${canary}`, `?X-Amz-Signature=${canary}&x=1`, `?${canary}`, `#${canary}`, '', '']);
  const place = (): string => pick(['127.0.0.1:29999', 'host', '[::1]:1', 'host:99999', '']);
  return pick([
    () => `${scheme()}${slashes()}${login()}${place()}${pick(['', '/', '/11', '/a/b'])}${query()}`,
    () => `redis://a:1/,${scheme()}://${login()}host/`,
    () => `ru:${secret()}@${place()}`,
  ])();
}

/** What a person sees of these settings. */
function say(env: Readonly<Record<string, string>>): string {
  try {
    const { schema, config } = loadServiceConfig(
      { schema: (lookup, given): Schema => standaloneSchema(given, lookup), input: standaloneInput },
      env,
    );
    return formatConfig(schema, config);
  } catch (error) {
    return describeError(error);
  }
}

t.test('no setting shows a secret of an address, well written or not', async (t) => {
  const environments = sinkTypes.map((type) => {
    const required = Object.entries(findSink(type)?.settings ?? {}).filter(
      ([, setting]) => setting.required === true && setting.example !== undefined,
    );
    return { SINK_TYPE: type, ...Object.fromEntries(required.map(([name, setting]) => [name, setting.example ?? ''])) };
  });
  const lookup =
    (env: Readonly<Record<string, string>>) =>
    (name: string): string | undefined =>
      env[name];
  const cases = environments.map((env) => ({
    env,
    names: Object.entries(standaloneSchema({}, lookup(env)) as Schema)
      .filter(
        ([key, setting]) =>
          setting.format.isUrl === true ||
          setting.sensitive === true ||
          /_(?:ADDR|ADDRESS|BROKERS|SENTINELS)$/u.test(key),
      )
      .map(([name]) => name),
  }));

  await fuzz(t, (random) => {
    const { env, names } = random.pick(cases);
    const name = random.pick(names);
    const address = makeAddress(random);
    // n.b. what stands behind a mistyped scheme alone is a text as any other.
    if (!address.includes('://') && !address.includes('@')) return;
    const said = say({ ...env, [name]: address });
    if (said.includes(canary))
      throw new Error(
        `${name}=${JSON.stringify(address)} is shown: ${said
          .split('\n')
          .filter((line) => line.includes(canary))
          .join('\n')
          .slice(0, 600)}`,
      );
  });
});
