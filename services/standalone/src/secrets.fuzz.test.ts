/** Addresses as people mistype them, in every setting: what is secret in one appears neither in an error nor in the printed configuration. */
import { describeError } from '@hydrant/shared/foundation/errors';
import { formatConfig } from '@hydrant/shared/runtime/config/print-config';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { loadServiceConfig } from '@hydrant/shared/runtime/run-service';
import { findSink, sinkTypes } from '@hydrant/sinks/registry';
import t from 'tap';
import { standaloneInput, standaloneSchema } from './config.ts';

const canary = 'CANARY';
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_007);
const limitMs = Number(process.env['FUZZ_MS'] ?? 1_000);

/** Park and Miller. */
function makeRandom(start: number): (below: number) => number {
  let state = (start % 2_147_483_646) + 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

function makeAddresses(random: (below: number) => number) {
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const junk = (): string => Array.from({ length: random(4) }, () => pick(['"', ' ', '%', '@', '/', '?', '#', ',', ':', '\\', '[', ']', '\t', '\u00e9', '\u2028', "'", '%zz', '%40', '&', '=', '<', '{', '12', 'a'])).join('');
  const secret = (): string => `${junk()}${canary}${junk()}`;
  const scheme = (): string => pick(['http', 'https', 'redis', 'rediss', 'amqp', 'amqps', 'mongodb', 'nats', 'unix', 'htp', 'HTTP', '']);
  const slashes = (): string => pick(['://', '://', '://', '://', ':/', ':', '//', ':///', ':\\\\']);
  const login = (): string => pick([`ru:${secret()}@`, `${canary}@`, `:${secret()}@`, `ru:12/${secret()}@`, '']);
  const query = (): string => pick([`?key=${canary}`, `?X-Amz-Signature=${canary}&x=1`, `?${canary}`, `#${canary}`, '', '']);
  const place = (): string => pick(['127.0.0.1:29999', 'host', '[::1]:1', 'host:99999', '']);
  return (): string => pick([
    () => `${scheme()}${slashes()}${login()}${place()}${pick(['', '/', '/11', '/a/b'])}${query()}`,
    () => `redis://a:1/,${scheme()}://${login()}host/`,
    () => `ru:${secret()}@${place()}`,
  ])();
}

/** What a person sees of these settings. */
function say(env: Readonly<Record<string, string>>): string {
  try {
    const { schema, config } = loadServiceConfig({ schema: (lookup, given): Schema => standaloneSchema(given, lookup), input: standaloneInput }, env);
    return formatConfig(schema, config);
  } catch (error) {
    return describeError(error);
  }
}

t.test('no setting shows a secret of an address, well written or not', (t) => {
  const random = makeRandom(seed);
  const makeAddress = makeAddresses(random);
  const environments = sinkTypes.map((type) => {
    const required = Object.entries(findSink(type)?.settings ?? {}).filter(([, setting]) => setting.required === true && setting.example !== undefined);
    return { SINK_TYPE: type, ...Object.fromEntries(required.map(([name, setting]) => [name, setting.example ?? ''])) };
  });
  const lookup = (env: Readonly<Record<string, string>>) => (name: string): string | undefined => env[name];
  const names = environments.map((env) => Object.entries(standaloneSchema({}, lookup(env)) as Schema).filter(([key, setting]) => setting.format.isUrl === true || setting.sensitive === true || /_(?:ADDR|ADDRESS|BROKERS|SENTINELS)$/u.test(key)).map(([name]) => name));
  const endMs = performance.now() + limitMs;
  for (let round = 0; round < 200 || performance.now() < endMs; round += 1) {
    const at = random(environments.length);
    const name = names[at]?.[random(names[at].length)] ?? 'NOMAD_ADDR';
    const address = makeAddress();
    // n.b. what stands behind a mistyped scheme alone is a text as any other.
    if (!address.includes('://') && !address.includes('@')) continue;
    const said = say({ ...environments[at], [name]: address });
    if (said.includes(canary)) {
      t.fail(`${name}=${JSON.stringify(address)} is shown (FUZZ_SEED=${String(seed)}): ${said.split('\n').filter((line) => line.includes(canary)).join('\n').slice(0, 600)}`);
      break;
    }
  }
  t.end();
});
