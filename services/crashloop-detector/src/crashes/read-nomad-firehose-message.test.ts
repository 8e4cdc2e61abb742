import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readRecordingFile } from '@hydrant/testing/recordings';
import { buildAlertMessage } from '../alerts/build-alert.ts';
import { checkBindings } from '../config.ts';
import { createPlayedLedger } from '../ledger/ledger-cases-contract.ts';
import { readObservations, type Input } from '../read-observations.ts';

/** As nomad-firehose publishes: no id, no type, no headers. */
function message(body: Buffer | string, changes: Partial<Message> = {}): Message {
  return {
    id: '',
    routingKey: 'allocations',
    type: '',
    contentType: 'application/json',
    appId: '',
    timestampMs: 0,
    headers: {},
    body: Buffer.from(body),
    ...changes,
  };
}

async function recorded(): Promise<string[]> {
  return (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString('utf8')
    .trim()
    .split('\n');
}

function payload(event: Record<string, unknown>, fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    Name: 'job.group[0]',
    NodeID: 'n1',
    AllocationID: 'a1',
    JobID: 'job',
    GroupName: 'group',
    TaskName: 'task',
    ...fields,
    TaskEvent: {
      Type: 'Restarting',
      Time: 1_795_231_700_123_456,
      Details: {},
      RestartReason: 'Restart within policy',
      ...event,
    },
  });
}

function observation(input: Input) {
  if (input.kind !== 'crash') throw new Error(`Expected a crash, got ${input.kind}`);
  const [only] = input.observations;
  if (only === undefined) throw new Error('Expected an observation');
  return only;
}

t.test('alerts are those of the rule of nomad-crashloop-detector', async (t) => {
  const rule = { count: 3, intervalMs: 60_000, notificationIntervalMs: 3_600_000 };
  const times = new Map<string, number[]>();
  const expected = new Set<string>();
  const found = new Set<string>();
  const ledger = createPlayedLedger();

  for (const line of await recorded()) {
    // n.b. The rule is computed here from the bytes alone: at least so many restarts with a reason within the interval,
    // by allocation name.
    const [, name = '', time = ''] =
      /^\{"Name":"([^"]*)".*"TaskEvent":\{"Type":"Restarting","Time":(\d+).*"RestartReason":"[^"]/u.exec(line) ?? [];
    if (name !== '') {
      const all = [...(times.get(name) ?? []), Number(time) / 1e6];
      times.set(name, all);
      const newest = Math.max(...all);
      if (all.filter((one) => newest - one < rule.intervalMs).length >= rule.count) expected.add(name);
    }
    const input = readObservations(message(line), 'lineage');
    if (input.kind !== 'crash' || !line.includes('"Type":"Restarting"')) continue;
    const decision = await ledger.record(observation(input), rule);
    if (decision.action !== 'announce') continue;
    const { place } = observation(input);
    const alert = readAlertMessage(
      buildAlertMessage(decision, { place, rule, routingKey: 'crash-loop', timestampMs: 1 }),
    );
    const older = line
      .replace(/"NodeID":"[^"]*",/u, '')
      .replace(/"DisplayMessage":"(?:[^"\\]|\\.)*","Details":\{.*?\},(?="FailsTask")/u, '')
      .replace(/,"GenericSource":""/u, '');
    t.equal(alert.lastEvent, older, 'LastEvent, byte for byte');
    t.notOk(found.has((JSON.parse(line) as { Name: string }).Name), 'announced once');
    found.add((JSON.parse(line) as { Name: string }).Name);
  }

  t.ok(expected.size >= 3);
  t.same([...found].sort(), [...expected].sort());
});

t.test('LastEvent is the same however the message is laid out', async (t) => {
  const usual =
    (await recorded()).find((line) => line.includes('"Type":"Restarting"') && line.includes('"RestartReason":"R')) ??
    '';
  const reordered = usual.replace(/("NodeID":"[^"]*"),(.*)\}$/u, '$2,$1}');
  const shown = (body: string) => observation(readObservations(message(body), 'lineage')).lastEvent;
  t.not(reordered, usual);

  const changes: [name: string, change: (line: string) => string, differs: boolean][] = [
    ['as recorded', (line) => line, false],
    ['white space', (line) => line.replaceAll(',"', ', "'), false],
    ['a time that is null', (line) => line.replace(/"TaskStartedAt":"[^"]*"/u, '"TaskStartedAt":null'), true],
    ['a time that is empty', (line) => line.replace(/"TaskStartedAt":"[^"]*"/u, '"TaskStartedAt":""'), true],
    ['a number that is none', (line) => line.replace('"ExitCode":0', '"ExitCode":0.5'), false],
    ['a text that is none', (line) => line.replace('"Message":""', '"Message":null'), false],
    ['an escape that Go writes otherwise', (line) => line.replace('"Message":""', String.raw`"Message":"\/<"`), true],
    ['text beyond ASCII', (line) => line.replace('"Message":""', '"Message":"größer"'), true],
  ];
  for (const [name, change, differs] of changes) {
    t.equal(shown(change(usual)), shown(change(reordered)), name);
    t.equal(shown(change(usual)) !== shown(usual), differs, name);
  }
});

t.test('a message reads the same whether or not it is laid out as usual', async (t) => {
  const restarts = (await recorded()).filter((line) => /"Type":"(?:Not )?Restarting"/u.test(line)).slice(0, 20);
  const signs = [
    '',
    '"',
    '\\',
    '\\n',
    '<',
    '&',
    '{',
    '}',
    '[',
    ',',
    ':',
    ' ',
    '0',
    '-',
    '7',
    'null',
    'true',
    'ü',
    '\n',
    '\u0000',
    '"A":"b",',
  ];
  const read = (body: string) => {
    try {
      return readObservations(message(body), 'lineage', 1_800_000_000_000);
    } catch (error) {
      return errorCode(error);
    }
  };
  let taken = 0;

  for (let seed = 0; seed < 4000; seed += 1) {
    const line = restarts[seed % restarts.length] ?? '';
    // A step that has no factor in common with most lengths: every part of the message is hit.
    const at = 1 + ((seed * 7919) % (line.length - 1));
    const changed = line.slice(0, at) + (signs[seed % signs.length] ?? '') + line.slice(at + (seed % 3));
    const usual = read(changed);
    // A blank after the brace is enough to have each member looked up.
    const unusual = read(`{ ${changed.slice(1)}`);
    if (typeof usual === 'object') taken += 1;
    if (!isDeepStrictEqual(usual, unusual)) t.same({ changed, read: usual }, { changed, read: unusual });
  }

  t.ok(taken > 500 && taken < 3500, 'both outcomes occur');
});

t.test('a crash is told apart by its time, and counted by allocation name', async (t) => {
  const input = observation(readObservations(message(payload({})), 'lineage'));

  t.match(input, {
    eventId: 'default/a1/task@1795231700123456',
    group: 'default/default//job.group%5B0%5D',
    followLineage: false,
    links: [],
    restarts: [],
    timed: [{ at: '1795231700123456', timeUs: 1_795_231_700_123, isFailure: false }],
    place: { cluster: 'default', namespace: 'default', job: 'job', group: 'group', task: 'task' },
  });
  t.equal(input.timed[0]?.timeNs, '1795231700123456');
  t.match(JSON.parse(input.timed[0]?.detail ?? ''), {
    allocation: 'a1',
    task: 'task',
    node: 'n1',
    reason: 'Restart within policy',
  });
  t.match(observation(readObservations(message(payload({}), { headers: { cluster: 'eu', region: 'r' } }), 'lineage')), {
    group: 'eu/r//job.group%5B0%5D',
    allocation: 'eu/a1',
  });
});

t.test('what counts', async (t) => {
  const cases: [name: string, event: Record<string, unknown>, expected: string][] = [
    ['a restart within the policy', {}, 'crash'],
    [
      'a reason that is only in the details',
      { RestartReason: '', Details: { restart_reason: 'Restart within policy' } },
      'crash',
    ],
    ['a restart that somebody asked for', { RestartReason: '' }, 'no-crash'],
    [
      'the end of the task',
      { Type: 'Not Restarting', RestartReason: 'Error was unrecoverable', FailsTask: true },
      'crash',
    ],
    ['a setup that failed', { Type: 'Setup Failure', RestartReason: '', FailsTask: true }, 'crash'],
    ['a start', { Type: 'Started', RestartReason: '' }, 'no-crash'],
  ];

  for (const [name, event, expected] of cases)
    t.equal(readObservations(message(payload(event)), 'lineage').kind, expected, name);
});

t.test('what became of the task is told by its starts and its end', async (t) => {
  const cases: [event: Record<string, unknown>, fields: Record<string, unknown>, state: string | undefined][] = [
    [{}, {}, 'waiting'],
    [{ Type: 'Not Restarting' }, { TaskFailed: true }, 'failed'],
    [{ Type: 'Started', RestartReason: '' }, {}, 'running'],
    [{ Type: 'Killed', RestartReason: '' }, {}, 'stopped'],
    [{ Type: 'Killed', RestartReason: '' }, { TaskFailed: true }, 'failed'],
    [{ Type: 'Terminated', RestartReason: '' }, {}, undefined],
  ];

  for (const [event, fields, state] of cases) {
    const input = readObservations(message(payload(event, fields)), 'lineage');
    t.equal(input.kind === 'foreign' ? undefined : input.observations[0]?.status?.state, state, String(event['Type']));
  }
});

t.test('a crash in the future is taken as of now', async (t) => {
  t.equal(
    observation(readObservations(message(payload({ Time: 9_000_000_000_000_000 })), 'lineage', 5_000)).timed[0]?.timeUs,
    5_000_000,
  );
});

t.test('what is not such a message is refused for good', async (t) => {
  const bodies = [
    'hello',
    '[]',
    '{}',
    '{"ID":"e1","Priority":50}',
    '{"TaskEvent":{"Type":"Restarting"}}',
    payload({ Time: 'now' }),
    payload({ Time: -5 }),
    payload({ Time: 1.5 }),
    payload({}, { Name: '' }),
    payload({}, { AllocationID: 7 }),
    `${payload({})}{}`,
    payload({}).slice(0, -1),
  ];

  for (const body of bodies)
    t.throws(() => readObservations(message(body), 'lineage'), { message: /Expected/u, retryable: false }, body);
});

t.test('one queue takes events or these messages', async (t) => {
  for (const bindings of [
    ['event.Allocation.#'],
    ['event.#'],
    ['allocations'],
    ['allocations', 'event.Job.#'],
    ['event.*.*.payments.*'],
  ])
    t.same(checkBindings(bindings), [], bindings.join());
  for (const bindings of [
    ['event.Allocation.#', 'allocations'],
    ['#'],
    ['*.Allocation.#', '*'],
    ['event.#', '#.allocations'],
  ])
    t.match(checkBindings(bindings), [/would count twice/u], bindings.join());
});
