/**
 * Events in hostile spellings: keys with letters as escapes, keys that come twice, white space anywhere, the words of
 * keys inside of strings. No secret is left, every other byte stays as it came, and what was JSON still is. Which
 * members are secret is written here once more, by the place where they stand.
 */
import assert from 'node:assert/strict';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import { makeBlank, makeJson } from '@hydrant/testing/random-json';
import t from 'tap';
import { createRedact, redactKinds, type RedactKind } from './redact.ts';

const secret = 'CANARY';
const begin = '⟦';
const close = '⟧';

/** Keys that mean something elsewhere, as text. */
const traps = ['Env', 'Job', 'SecretID', 'SignedIdentities', 'LeaderACL', 'VaultToken', 'Payload', 'Meta'];

interface Round {
  readonly random: Random;
  readonly kinds: ReadonlySet<RedactKind>;
  /** Of how many keys one is escaped: one escape among many keys is as good a hiding place as many. */
  readonly escapesOneIn: number;
}

type Member = readonly [key: string, value: string];

/** One letter of the key as an escape, or several. */
function spellKey({ random: { below, oneIn }, escapesOneIn }: Round, key: string): string {
  if (!oneIn(escapesOneIn)) return `"${key}"`;
  const escaped = below(key.length);
  const isAlone = oneIn(2);
  return `"${[...key].map((letter, at) => (at === escaped || (!isAlone && oneIn(4)) ? `\\u00${letter.charCodeAt(0).toString(16)[oneIn(2) ? 'toUpperCase' : 'toLowerCase']()}` : letter)).join('')}"`;
}

/** Members in any order, some of them left out, some there twice. */
function makeObject(round: Round, members: readonly (() => Member)[]): string {
  const { random } = round;
  const { below, oneIn } = random;
  const given = members.flatMap((make) => (oneIn(4) ? [] : oneIn(6) ? [make(), make()] : [make()]));
  const blank = (): string => makeBlank(random);
  const ordered = given.map((member) => ({ member, order: below(1000) })).sort((one, other) => one.order - other.order);
  return `{${blank()}${ordered.map(({ member: [key, value] }) => `${blank()}${spellKey(round, key)}${blank()}:${blank()}${value}${blank()}`).join(',')}}`;
}

function makeList({ random }: Round, make: () => string): string {
  return `[${makeBlank(random)}${Array.from({ length: random.below(3) }, () => `${make()}${makeBlank(random)}`).join(',')}]`;
}

/** A string that looks like the source of a secret. */
function makeTrap({ pick, oneIn }: Random): string {
  const trap = pick(traps);
  return JSON.stringify(oneIn(2) ? trap : `${trap}":{"${trap}":"`);
}

function makeSecretText({ pick }: Random): string {
  return `"${pick(['', 'x', '\\"', '\\\\', '}', '{', '\\u0022'])}${secret}${pick(['', '\\"', '\\\\', ']}', '\\ud800'])}"`;
}

function makeSecret({ random }: Round): string {
  const { oneIn } = random;
  const text = makeSecretText(random);
  if (oneIn(3)) return text;
  return oneIn(2)
    ? `{${makeBlank(random)}${text}:[${makeTrap(random)},${text}]}`
    : `[${makeBlank(random)}${text},{"Env":${text}}]`;
}

function mark(isMarked: boolean, value: string): string {
  return isMarked ? `${begin}${value}${close}` : value.replaceAll(secret, 'known');
}

/** A member of a job that is replaced when `kind` is asked for, whatever it is. */
function opaque(round: Round, kind: RedactKind, key: string): () => Member {
  return () => [key, mark(round.kinds.has(kind), makeSecret(round))];
}

/** A token, which stays when it is blank. */
function token(round: Round, key: string): () => Member {
  return () => [
    key,
    round.random.oneIn(4)
      ? round.random.pick(['""', 'null', '{ }', '[]'])
      : mark(round.kinds.has('tokens'), makeSecret(round)),
  ];
}

/** Of a job, which holds these as text. */
function textOfJob(round: Round, kind: RedactKind, key: string): () => Member {
  return () => [key, mark(round.kinds.has(kind), makeSecretText(round.random))];
}

function plain(round: Round, key: string): () => Member {
  return () => [
    key,
    round.random.oneIn(2) ? makeTrap(round.random) : `[${makeTrap(round.random)},${makeJson(round.random, 1)}]`,
  ];
}

function makeJob(round: Round): string {
  const { random } = round;
  const object = (...members: readonly (() => Member)[]): string => makeObject(round, members);
  const list = (make: () => string): string => makeList(round, make);
  const sidecar = (): string =>
    object(
      () => [
        'SidecarTask',
        object(opaque(round, 'env', 'Env'), opaque(round, 'config', 'Config'), plain(round, 'Name')),
      ],
      () => ['SidecarService', object(() => ['Proxy', object(opaque(round, 'config', 'Config'))])],
    );
  const service = (): string =>
    object(
      opaque(round, 'meta', 'Meta'),
      opaque(round, 'meta', 'CanaryMeta'),
      plain(round, 'Name'),
      () => ['Connect', sidecar()],
      plain(round, 'Tags'),
      () => [
        'Checks',
        list(() => object(opaque(round, 'config', 'Header'), opaque(round, 'config', 'Body'), plain(round, 'Path'))),
      ],
      () => ['TaggedAddresses', '{"Env":{"k":"mine"},"Meta":"mine"}'],
    );
  const task = (): string =>
    object(
      opaque(round, 'env', 'Env'),
      opaque(round, 'config', 'Config'),
      opaque(round, 'meta', 'Meta'),
      opaque(round, 'templates', 'Templates'),
      plain(round, 'Driver'),
      () => ['Services', list(service)],
      () => ['Identity', '{"Env":true}'],
      () => [
        'Artifacts',
        list(() =>
          object(
            opaque(round, 'config', 'GetterOptions'),
            opaque(round, 'config', 'GetterHeaders'),
            plain(round, 'GetterMode'),
          ),
        ),
      ],
    );
  const group = (): string =>
    object(
      opaque(round, 'meta', 'Meta'),
      () => ['Tasks', list(task)],
      () => ['Services', list(service)],
      () => ['Volumes', '{"Env":{"Name":"Env"},"Meta":{"k":"mine"}}'],
    );
  return object(
    plain(round, 'ID'),
    textOfJob(round, 'tokens', 'VaultToken'),
    textOfJob(round, 'tokens', 'ConsulToken'),
    opaque(round, 'meta', 'Meta'),
    textOfJob(round, 'payload', 'Payload'),
    () => ['TaskGroups', list(group)],
    () => ['ParameterizedJob', '{"Payload":"optional"}'],
    () => [
      'Multiregion',
      object(() => ['Regions', list(() => object(opaque(round, 'meta', 'Meta'), plain(round, 'Name')))]),
    ],
    () => ['SubmitTime', random.pick(['1755765238123456789', '-0', '1e400'])],
  );
}

/** Objects of a payload by the topic of their events. */
function makeObjects(round: Round): Readonly<Record<string, () => Member>> {
  const object = (...members: readonly (() => Member)[]): string => makeObject(round, members);
  const odd = (): Member => ['Odd', makeJson(round.random, 2)];
  const job = (): Member => ['Job', makeJob(round)];
  return {
    Job: job,
    Allocation: () => [
      'Allocation',
      object(
        token(round, 'SignedIdentities'),
        plain(round, 'ID'),
        job,
        () => ['TaskStates', '{"SignedIdentities":{"State":"dead"},"LeaderACL":"mine"}'],
        odd,
      ),
    ],
    Evaluation: () => [
      'Evaluation',
      object(token(round, 'LeaderACL'), plain(round, 'ID'), () => ['SecretID', '"mine"']),
    ],
    Node: () => [
      'Node',
      object(token(round, 'SecretID'), () => ['Meta', '{"SecretID":"mine"}'], plain(round, 'Name'), odd),
    ],
    ACLToken: () => ['ACLToken', object(token(round, 'SecretID'), plain(round, 'AccessorID'))],
    ACLAuthMethod: () => [
      'AuthMethod',
      object(() => [
        'Config',
        object(token(round, 'OIDCClientSecret'), plain(round, 'OIDCClientID'), () => [
          'OIDCClientAssertion',
          object(() => ['PrivateKey', object(token(round, 'PemKey'), plain(round, 'PemKeyFile'))]),
        ]),
      ]),
    ],
    CSIVolume: () => ['Volume', object(token(round, 'Secrets'), () => ['Context', '{"Secrets":"mine"}'])],
    Variable: () => [
      'Metadata',
      object(plain(round, 'Path'), () => ['Lock', object(token(round, 'ID'), plain(round, 'TTL'))]),
    ],
  };
}

function makeEvent(round: Round): { readonly marked: string; readonly topic: string } {
  const { random } = round;
  const objects = makeObjects(round);
  const topic = random.pick(Object.keys(objects));
  // Nomad writes the topic as it is; from where it cannot be read, it is handed on as empty.
  const told = random.pick([topic, topic, '', 'FromTheFuture', '*']);
  const payload = (): string =>
    makeObject(round, [
      objects[topic] ?? plain(round, 'Odd'),
      ...(random.oneIn(4) ? [objects['Job'] ?? plain(round, 'Odd')] : []),
      plain(round, 'Also'),
    ]);
  return {
    marked: makeObject(round, [
      plain(round, 'Key'),
      () => ['Payload', payload()],
      plain(round, 'FilterKeys'),
      () => ['Index', '1755765238123456789'],
    ]),
    topic: told,
  };
}

function replacementFor(value: string): string {
  if (value.startsWith('{')) return '{}';
  return value.startsWith('[') ? '[]' : '"redacted"';
}

t.test('no secret is left, every other byte stays, and what was JSON still is', async (t) => {
  let replaced = 0;
  await fuzz(t, (random) => {
    const kinds = random.oneIn(3) ? redactKinds : redactKinds.filter(() => random.oneIn(2));
    const { marked, topic } = makeEvent({
      random,
      kinds: new Set(kinds),
      escapesOneIn: random.pick([3, 10, 1_000_000]),
    });
    const [before, behind] = [
      Buffer.from('{"Events":[null, '),
      Buffer.from(`, {"Payload":{"Node":{"SecretID":"next"}}}]}`),
    ];
    const event = Buffer.from(marked.replaceAll(/[⟦⟧]/gu, ''));
    const expected = marked.replaceAll(/⟦(.*?)⟧/gsu, (_, value: string) => {
      replaced += 1;
      return replacementFor(value);
    });
    assert.ok(!expected.includes(secret), 'the fuzzer marks its secrets');
    JSON.parse(event.toString());

    const found = createRedact(kinds)(
      Buffer.concat([before, event, behind]),
      before.length,
      before.length + event.length,
      topic,
    ).toString();

    if (found.includes(secret))
      throw new Error(`A secret is left in ${JSON.stringify(found)}, asked for ${kinds.join()} with topic "${topic}"`);
    if (found !== expected)
      throw new Error(
        `Expected ${JSON.stringify(expected)}, got ${JSON.stringify(found)}, asked for ${kinds.join()} with topic "${topic}" in ${JSON.stringify(event.toString())}`,
      );
    JSON.parse(found);
  });
  t.ok(replaced > 100, `${String(replaced)} values were replaced`);
});
