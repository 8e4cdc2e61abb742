import { readRecording } from '@hydrant/testing/recordings';
import t, { type Test } from 'tap';
import { scanFrame } from '../source/scan-frame.ts';
import { createRedact, redactKinds, type RedactKind } from './redact.ts';

const secret = 's3cr3t';

function redact(kinds: readonly RedactKind[], marked: string): string {
  const bytes = Buffer.from(marked.replaceAll(/[⟦⟧]/gu, ''));
  return createRedact(kinds)(bytes, 0, bytes.length, /"Topic" ?: ?"(\w+)"/u.exec(marked)?.[1] ?? '').toString();
}

/** The same event with white space, so that a rebuilt value would show. `⟦…⟧` marks what is to be replaced. */
function check(t: Test, kinds: readonly RedactKind[], marked: string, replacement: string): void {
  t.equal(redact(kinds, marked), marked.replaceAll(/⟦.*?⟧/gsu, replacement), `${kinds.join()} in ${marked}`);
}

function jobEvent(job: string): string {
  return `{ "Topic":"Job", "Payload" : {"Job": ${job} }, "Index":1755765238123456789 }`;
}

t.test('each kind is replaced wherever a job holds it, and nothing else', (t) => {
  const cases: readonly (readonly [RedactKind, string, string])[] = [
    [
      'env',
      '{"TaskGroups":[{"Tasks":[{"Env": ⟦{"A":"s3cr3t"}⟧ ,"Identity":{"Env":true},"Vault":{"Env":false}}]}]}',
      '{}',
    ],
    ['env', '{"TaskGroups":[{"Services":[{"Connect":{"SidecarTask":{"Env":⟦{"A":"s3cr3t"}⟧}}}]}]}', '{}'],
    ['env', '{"TaskGroups":[{"Tasks":[{"Secrets":[{"Env":⟦{"A":"s3cr3t"}⟧}],"Meta":{"Env":"mine"}}]}]}', '{}'],
    ['env', '{"\\u0045nv":⟦{"A":"s3cr3t"}⟧,"Env":⟦{"B":"s3cr3t"}⟧}', '{}'],
    ['env', '{"TaskGroups":[{"Volumes":{"Env":{"Name":"Env"}},"Env":null}]}', '{}'],
    [
      'templates',
      '{"TaskGroups":[{"Tasks":[{"Templates":⟦[{"EmbeddedTmpl":"s3cr3t \\" ] }"}]⟧,"Name":"Templates"}]}]}',
      '[]',
    ],
    ['meta', '{"Meta":⟦{"k":"s3cr3t"}⟧,"TaskGroups":[{"Meta":⟦{"k":"s3cr3t"}⟧,"Tasks":[{"Meta":⟦{}⟧}]}]}', '{}'],
    [
      'meta',
      '{"TaskGroups":[{"Services":[{"Meta":⟦{"k":"s3cr3t"}⟧,"CanaryMeta":⟦{"k":"s3cr3t"}⟧}]}],"Multiregion":{"Regions":[{"Meta":⟦{"k":"s3cr3t"}⟧}]}}',
      '{}',
    ],
    ['payload', '{"ParameterizedJob":{"Payload":"optional"},"Payload":⟦"czNjcjN0"⟧}', '"redacted"'],
    ['payload', '{"Payload":null}', '"redacted"'],
    [
      'config',
      '{"TaskGroups":[{"Tasks":[{"Config":⟦{"auth":{"password":"s3cr3t"}}⟧,"Artifacts":[{"GetterOptions":⟦{"sshkey":"s3cr3t"}⟧,"GetterHeaders":⟦{"A":"s3cr3t"}⟧}]}]}]}',
      '{}',
    ],
    [
      'config',
      '{"TaskGroups":[{"Services":[{"Connect":{"SidecarService":{"Proxy":{"Config":⟦{"k":"s3cr3t"}⟧}}},"Checks":[{"Header":⟦{"Authorization":["s3cr3t"]}⟧}]}]}]}',
      '{}',
    ],
    ['config', '{"TaskGroups":[{"Tasks":[{"Services":[{"Checks":[{"Body":⟦"s3cr3t"⟧}]}]}]}]}', '"redacted"'],
    ['config', '{"TaskGroups":[{"Tasks":[{"Config":⟦-17.5e3⟧}]}]}', '0'],
    ['config', '{"TaskGroups":[{"Tasks":[{"Config":⟦["s3cr3t"]⟧}]}]}', '[]'],
    ['config', '{"TaskGroups":[{"Tasks":[{"Config":true}]}]}', ''],
  ];
  for (const [kind, job, replacement] of cases) {
    check(t, [kind], jobEvent(job), replacement);
    const others = redactKinds.filter((other) => other !== kind);
    t.equal(
      redact(others, jobEvent(job)).includes(secret),
      job.includes(secret),
      `${kind} is not among ${others.join()}`,
    );
  }
  t.end();
});

t.test('tokens of Nomad are replaced in objects of every kind, and blank ones stay', (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'Allocation',
      '{"Allocation":{"ID":"a","SignedIdentities" : ⟦{"app":"eyJ"}⟧ ,"TaskStates":{"SignedIdentities":{"State":"dead"}}}}',
      '{}',
    ],
    ['Allocation', '{"Allocation":{"\\u0053ignedIdentities":⟦{"app":"eyJ"}⟧}}', '{}'],
    [
      'Allocation',
      '{"Allocation":{"SignedIdentities":{},"TaskStates":{"app":{"Events":[{"Message":"SignedIdentities\\": { <"}]}}}}',
      '',
    ],
    ['Allocation', '{"Allocation":{"SignedIdentities": null}}', ''],
    ['Evaluation', '{"Evaluation":{"LeaderACL":⟦"f00"⟧,"SecretID":"mine"}}', '"redacted"'],
    ['Node', '{"Node":{"Meta":{"SecretID":"mine"},"SecretID":⟦"f00"⟧}}', '"redacted"'],
    ['Node', '{"Node":{"SecretID":"","Meta":{"SecretID":"mine"}}}', ''],
    ['ACLToken', '{"ACLToken":{"AccessorID":"a","SecretID":⟦"f00"⟧}}', '"redacted"'],
    [
      'ACLAuthMethod',
      '{"AuthMethod":{"Config":{"OIDCClientID":"id","OIDCClientSecret":⟦"f00"⟧,"OIDCClientAssertion":{"PrivateKey":{"PemKey":⟦"-----BEGIN"⟧,"PemKeyFile":"/key"}}}}}',
      '"redacted"',
    ],
    ['ACLAuthMethod', '{"AuthMethod":{"Config":{"OIDCClientSecret":"redacted"}}}', ''],
    ['CSIVolume', '{"Volume":{"Secrets":⟦{"password":"f00"}⟧,"Context":{"Secrets":"mine"}}}', '{}'],
    ['Variable', '{"Metadata":{"Path":"p","Lock":{"ID":⟦"f00"⟧,"TTL":"15s"}}}', '"redacted"'],
    [
      'Job',
      '{"Job":{"VaultToken":⟦"s.f00"⟧,"ConsulToken":"","Meta":{"VaultToken":"mine"},"TaskGroups":[{"Tasks":[{"Secrets":[{"Config":{"VaultToken":"mine"}}]}]}]}}',
      '"redacted"',
    ],
    ['', '{"Allocation":{"SignedIdentities":⟦{"app":"eyJ"}⟧}}', '{}'],
    ['FromTheFuture', '{"Node":{"SecretID":⟦"f00"⟧}}', '"redacted"'],
  ];
  for (const [topic, payload, replacement] of cases) {
    const event = `{ "Topic":"${topic}", "Payload" : ${payload} , "Index":1755765238123456789 }`;
    check(t, ['tokens'], event, replacement);
    check(t, ['env', 'templates', 'payload'], event.replaceAll(/[⟦⟧]/gu, ''), '');
  }
  t.end();
});

t.test('what is nested deeper than any job is replaced unseen', (t) => {
  const nest = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  t.equal(redact(['env'], jobEvent(`{"Odd":${nest(60)},"Env":{"k":"v"}}`)), jobEvent(`{"Odd":${nest(60)},"Env":{}}`));
  t.equal(
    redact(['env'], jobEvent(`{"Odd":${nest(100_000)},"Env":{"k":"v"}}`)),
    jobEvent(`{"Odd":${nest(64)},"Env":{}}`),
  );
  t.end();
});

t.test('jobs are found wherever a payload holds one, and only there', (t) => {
  const job = '{"Meta":⟦{"k":"s3cr3t"}⟧}';
  check(t, ['meta'], `{"Payload":{"Allocation":{"TaskStates":{"Meta":{}},"Job":${job}},"Meta":{"k":"v"}}}`, '{}');
  check(t, ['meta'], `{"Payload":{"Deleted":true,"\\u004aob":${job}},"Strange":true}`, '{}');
  check(t, ['meta'], '{"Payload":{"Node":{"Meta":{"Job":{"Meta":{"k":"v"}}}}}}', '');
  check(t, ['meta'], '{"Payload":{"Allocation":{"Job":null}}}', '');
  check(t, ['meta'], '{"Payload":{"Job":["Meta"]}}', '');
  check(t, ['meta'], '{"Payload":null,"Job":{"Meta":{"k":"v"}}}', '');
  check(t, [], jobEvent(job.replaceAll(/[⟦⟧]/gu, '')), '');
  t.end();
});

/** The same numbers at each run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

/**
 * A job of random shape, what is secret in it marked: sections in any order, keys escaped now and then, white space
 * anywhere.
 */
function makeMarkedJob(random: (below: number) => number): string {
  const escape = (key: string): string =>
    random(6) === 0 ? `\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}` : key;
  const space = (): string => [' ', '', '', '\t'][random(4)] ?? '';
  const text = (): string => JSON.stringify(['plain', 'q"uo\\te', '{"Env":{', 'ü\u2028🚀', ''][random(5)]);
  const members = (entries: readonly (readonly [string, string])[]): string => {
    const kept = entries.filter(() => random(4) > 0).map((entry) => ({ entry, order: random(1000) }));
    return `{${kept
      .toSorted((a, b) => a.order - b.order)
      .map(({ entry: [key, value] }) => `${space()}"${escape(key)}"${space()}:${space()}${value}${space()}`)
      .join(',')}}`;
  };
  const secrets = (): string =>
    ['null', '⟦{}⟧', `⟦{"a":"${secret}","Env":{"b":[${text()},"${secret}"]}}⟧`, `⟦{ "${secret}" : ${text()} }⟧`][
      random(4)
    ] ?? '';
  const list = (make: () => string): string => `[${Array.from({ length: random(3) }, make).join(', ')}]`;
  const sidecar = (): string =>
    members([
      [
        'SidecarTask',
        members([
          ['Env', secrets()],
          ['Config', secrets()],
          ['Name', text()],
        ]),
      ],
      ['SidecarService', members([['Proxy', members([['Config', secrets()]])]])],
    ]);
  const service = (): string =>
    members([
      ['Meta', secrets()],
      ['CanaryMeta', secrets()],
      ['Name', text()],
      ['Connect', sidecar()],
      ['Tags', `[${text()}]`],
    ]);
  const task = (): string =>
    members([
      ['Env', secrets()],
      ['Config', secrets()],
      ['Meta', secrets()],
      ['Templates', random(2) === 0 ? 'null' : `⟦[{"EmbeddedTmpl":"${secret}"}]⟧`],
      ['KillTimeout', '5000000000'],
      ['Identity', '{"Env":true}'],
      ['Services', list(service)],
      [
        'Artifacts',
        list(() =>
          members([
            ['GetterOptions', secrets()],
            ['GetterMode', text()],
          ]),
        ),
      ],
    ]);
  const group = (): string =>
    members([
      ['Meta', secrets()],
      ['Tasks', list(task)],
      ['Services', list(service)],
      ['Count', '3'],
      ['Volumes', '{"Env":{"Name":"Env"}}'],
    ]);
  return members([
    ['Meta', secrets()],
    ['TaskGroups', list(group)],
    ['SubmitTime', '1755765238123456789'],
    ['Payload', random(2) === 0 ? 'null' : `⟦"${secret}"⟧`],
    ['Name', text()],
    ['UI', '{"Links":[]}'],
  ]);
}

t.test('whatever the job looks like, no secret is left and all else is byte-equal', (t) => {
  const random = createRandom(20_261_121);
  let replaced = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const marked = jobEvent(makeMarkedJob(random));
    const found = redact(redactKinds, marked);
    const expected = marked.replaceAll(/⟦(.).*?⟧/gsu, (_, first: string) => {
      replaced += 1;
      return first === '{' ? '{}' : first === '[' ? '[]' : '"redacted"';
    });
    if (found === expected && !found.includes(secret)) continue;
    t.equal(found, expected, `round ${String(round)}`);
    break;
  }
  t.ok(replaced > 2_000, `${String(replaced)} values were replaced`);
  t.end();
});

/** The same on built values, for the shapes that the recordings have. */
function redactBuilt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactBuilt);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]: [string, unknown]) => {
      if (typeof member !== 'object' || member === null) return [key, member];
      return [key, ['Config', 'Env', 'Meta'].includes(key) ? {} : key === 'Templates' ? [] : redactBuilt(member)];
    }),
  );
}

t.test('recorded events stay as they are but for the values that are asked for', async (t) => {
  let jobs = 0;
  let others = 0;
  for (const line of await readRecording('nomad-firehose-parity')) {
    const frame = scanFrame(line);
    if (frame === 'heartbeat') continue;
    for (const { start, end, head } of frame.events) {
      const before = line.toString('utf8', start, end);
      const after = createRedact(redactKinds)(line, start, end, head?.topic ?? '').toString();
      if (head?.topic !== 'Job') {
        others += after === before ? 1 : 0;
        continue;
      }
      jobs += 1;
      const event = JSON.parse(before) as { Payload: { Job: { Payload: string | null } } };
      if (event.Payload.Job.Payload !== null) event.Payload.Job.Payload = 'redacted';
      t.strictSame(JSON.parse(after), { ...event, Payload: { ...event.Payload, Job: redactBuilt(event.Payload.Job) } });
    }
  }
  t.strictSame({ jobs, others }, { jobs: 99, others: 779 });
});
