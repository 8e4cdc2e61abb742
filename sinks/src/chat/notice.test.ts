import { makeAlertMessage, type Alert } from '@hydrant/shared/messages/alert-message';
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { makeNotice } from './notice.ts';
import { shorten } from './shorten.ts';

const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';
const lastEvent = JSON.stringify({
  Name: 'web.app[0]',
  NodeID: '4eb5a9ac-9a9f-9a68-fc25-eba6c83a0d99',
  AllocationID: allocation,
  JobID: 'web',
  TaskName: 'server',
  TaskEvent: { RestartReason: 'Restart within policy' },
});

function makeAlert(changes: Partial<Alert> = {}): Alert {
  return {
    lastEvent,
    eventLog: ['2026-05-06T07:08:01Z', '2026-05-06T07:08:02Z'],
    id: '0'.repeat(32),
    status: 'opened',
    cluster: 'north',
    namespace: 'shop',
    count: 5,
    interval: '10m',
    reasons: ['Restart within policy'],
    exitCodes: [17],
    oomKilled: false,
    firstCrash: '2026-05-06T07:08:01Z',
    lineage: [allocation],
    nextStep: `nomad alloc logs -stderr ${allocation} server`,
    ...changes,
  };
}

function alertMessage(changes: Partial<Alert> = {}) {
  return makeAlertMessage(makeAlert(changes), {
    messageId: 'a/1',
    routingKey: 'crash-loop',
    timestampMs: Date.UTC(2026, 4, 6, 7, 8, 9),
  });
}

function eventMessage(event: object) {
  return makeSinkMessage(1, { body: Buffer.from(JSON.stringify(event)) });
}

void t.test('an alert says what happened to which job, where, why, how often and what to do next', (t) => {
  t.same(makeNotice(alertMessage(), 'https://nomad.example:4646/ui/'), {
    kind: 'opened',
    sentence: 'Task server of job web is crash-looping: 5 crashes within 10m',
    id: '0'.repeat(32),
    type: 'crash-loop',
    time: '2026-05-06T07:08:09.000Z',
    cluster: 'north',
    namespace: 'shop',
    job: 'web',
    task: 'server',
    facts: [
      { label: 'Where', text: 'cluster north, namespace shop, allocation b026f72d (web.app[0]), node 4eb5a9ac' },
      { label: 'Why', text: 'Restart within policy; exit code 17' },
      { label: 'Since', text: '2026-05-06T07:08:01Z' },
    ],
    nextStep: `nomad alloc logs -stderr ${allocation} server`,
    link: `https://nomad.example:4646/ui/allocations/${allocation}/server`,
  });
  t.end();
});

void t.test('an alert is told by its state', (t) => {
  t.match(
    makeNotice(
      alertMessage({ status: 'ongoing', count: 12, oomKilled: true, exitCodes: [1, 137], lineage: ['a', 'b'] }),
      null,
    ),
    {
      kind: 'ongoing',
      sentence: 'Task server of job web is still crash-looping: 12 crashes within 10m',
      link: undefined,
      facts: [
        {},
        { text: 'out of memory; Restart within policy; exit codes 1, 137' },
        { text: '2026-05-06T07:08:01Z, over 2 allocations' },
      ],
    },
  );
  const body = JSON.stringify({ ...(JSON.parse(alertMessage().body.toString()) as object), Status: 'resolved' });
  for (const message of [
    { ...alertMessage(), type: 'crash-loop-resolved' },
    { ...alertMessage(), body: Buffer.from(body) },
  ]) {
    const notice = makeNotice(message, null);
    t.match(notice, {
      kind: 'resolved',
      id: '0'.repeat(32),
      sentence: 'Task server of job web has stopped crash-looping',
      nextStep: undefined,
    });
    t.same(
      notice.facts.map(({ label }) => label),
      ['Where', 'Why'],
    );
  }
  t.end();
});

void t.test('an alert of nomad-crashloop-detector is understood', (t) => {
  const message = makeSinkMessage(1, {
    type: '',
    headers: {},
    body: Buffer.from(`{"LastEvent":${lastEvent},"EventLog":["2026-05-06T07:08:01Z"]}`),
  });
  t.match(makeNotice(message, null), {
    kind: 'opened',
    sentence: 'Task server of job web is crash-looping: 1 crash',
    id: message.id,
    cluster: 'default',
    facts: [{ text: /allocation b026f72d/u }, { label: 'Why', text: 'Restart within policy' }, { label: 'Since' }],
    nextStep: `nomad alloc status ${allocation}`,
  });
  t.end();
});

void t.test('a Nomad event reads as a sentence', (t) => {
  const cases: readonly (readonly [object, string, string | undefined])[] = [
    [
      {
        Topic: 'Job',
        Type: 'JobRegistered',
        Key: 'web',
        Index: 12,
        Payload: { Job: { ID: 'web/a', Namespace: 'shop', Status: 'pending' } },
      },
      'Job web/a: job registered, pending',
      '/jobs/web%2Fa@shop',
    ],
    [
      {
        Topic: 'Node',
        Type: 'NodeEligibility',
        Key: 'n',
        Payload: { Node: { ID: allocation, Name: 'vm-1', Status: 'ready' } },
      },
      'Node vm-1: node eligibility, ready',
      `/clients/${allocation}`,
    ],
    [
      {
        Topic: 'Deployment',
        Type: 'PlanResult',
        Payload: { Deployment: { ID: allocation, JobID: 'web', Namespace: 'default', Status: 'running' } },
      },
      'Deployment b026f72d of job web: plan result, running',
      '/jobs/web@default/deployments',
    ],
    [
      {
        Topic: 'Evaluation',
        Type: 'EvaluationUpdated',
        Key: allocation,
        Payload: { Evaluation: { ID: allocation, Status: 'complete' } },
      },
      'Evaluation b026f72d: evaluation updated, complete',
      `/evaluations?currentEval=${allocation}`,
    ],
    [
      { Topic: 'Variable', Type: 'VariableUpdated', Key: 'nomad/jobs/web', Payload: {} },
      'Variable nomad/jobs/web: variable updated',
      undefined,
    ],
    [{ Topic: 'Allocation', Type: 'AllocationUpdated', Payload: null }, 'Allocation ?: allocation updated', undefined],
  ];
  for (const [event, sentence, path] of cases) {
    t.match(makeNotice(eventMessage(event), 'http://n:4646'), {
      kind: 'event',
      sentence,
      link: path === undefined ? undefined : `http://n:4646/ui${path}`,
    });
  }
  t.end();
});

void t.test('every recorded event reads as a sentence with a place', async (t) => {
  let events = 0;
  for (const line of await readRecording('crashing-cluster')) {
    for (const event of (JSON.parse(line.toString()) as { readonly Events?: readonly object[] }).Events ?? []) {
      const notice = makeNotice(eventMessage(event), 'http://n:4646');
      if (/\?|undefined|\[object/u.test(`${notice.sentence} ${JSON.stringify(notice.facts)}`)) t.fail(notice.sentence);
      events += 1;
    }
  }
  t.equal(events, 885);
});

void t.test('anything else is named by its type and id', (t) => {
  for (const body of ['', 'null', '[1]', '"x"', '{"Topic":1}', '{"Topic":"Job","Type":{}}', '\u0000']) {
    t.match(makeNotice(makeSinkMessage(1, { type: 'other', body: Buffer.from(body) }), 'http://n/'), {
      kind: 'event',
      sentence: 'A message of the type other came',
      facts: [{ label: 'Message' }],
    });
  }
  t.doesNotThrow(() =>
    makeNotice(
      makeSinkMessage(1, {
        type: 'crash-loop',
        timestampMs: 1e300,
        body: Buffer.from('{"LastEvent":[],"Reasons":{},"ExitCodes":[null],"Count":"x"}'),
      }),
      'http://n/',
    ),
  );
  t.end();
});

void t.test('a text is shortened between characters, after they were escaped', (t) => {
  const ampersand = (character: string): string => (character === '&' ? '&amp;' : character);
  const cases: readonly (readonly [string, number, string])[] = [
    ['abc', 3, 'abc'],
    ['abcd', 3, 'ab…'],
    ['', 3, ''],
    ['😀😀', 4, '😀😀'],
    ['😀😀', 3, '😀…'],
    ['a&b', 7, 'a&amp;b'],
    ['a&b', 6, 'a…'],
    ['&&', 5, '…'],
  ];
  for (const [text, max, expected] of cases) t.equal(shorten(text, max, ampersand), expected);
  t.end();
});
