import t from 'tap';
import { makeAlertMessage, readAlertMessage, type Alert } from './alert-message.ts';

const alert: Alert = {
  lastEvent: '{"Name":"a\\u003cb","Time":1795231704791828627}',
  eventLog: ['2026-11-21T03:28:24.791828627Z'],
  id: 'abc',
  status: 'opened',
  cluster: 'eu',
  namespace: 'default',
  count: 1,
  interval: '10m0s',
  reasons: ['Restart within policy'],
  exitCodes: [17],
  oomKilled: false,
  firstCrash: '2026-11-21T03:28:24.791828627Z',
  lineage: ['a1'],
  nextStep: 'nomad alloc status a1',
};
const envelope = { messageId: 'abc/1', routingKey: 'crash-loop', timestampMs: 5 };

t.test('an alert message is read back as it was built', async (t) => {
  const message = makeAlertMessage(alert, envelope);

  t.same(readAlertMessage(message), alert);
  t.match(message, {
    id: 'abc/1',
    routingKey: 'crash-loop',
    type: 'crash-loop',
    headers: { cluster: 'eu', status: 'opened', format: 1 },
  });
});

t.test('the end of a loop is a message of its own type', async (t) => {
  const message = makeAlertMessage({ ...alert, status: 'resolved' }, envelope);

  t.equal(message.type, 'crash-loop-resolved');
  t.equal(readAlertMessage(message).status, 'resolved');
  t.throws(
    () => readAlertMessage({ ...message, type: 'crash-loop' }),
    { code: 'message-not-alert' },
    'the type and the status differ',
  );
});

t.test('the fields of nomad-crashloop-detector come first, byte for byte', async (t) => {
  const expected =
    '{"LastEvent":{"Name":"a\\u003cb","Time":1795231704791828627},"EventLog":["2026-11-21T03:28:24.791828627Z"],"Id":"abc","Status":"opened",';

  t.equal(makeAlertMessage(alert, envelope).body.toString().slice(0, expected.length), expected);
});

t.test('a message that is no alert is refused for good', async (t) => {
  const message = makeAlertMessage(alert, envelope);
  const bodies = [
    'no JSON',
    '[]',
    '{"LastEvent":{}}',
    message.body.toString().replace('"opened"', '"over"'),
    message.body.toString().replace('"Count":1', '"Count":1.5'),
  ];

  for (const body of bodies)
    t.throws(
      () => readAlertMessage({ ...message, body: Buffer.from(body) }),
      { code: 'message-not-alert', retryable: false },
      body,
    );
  t.throws(() => readAlertMessage({ ...message, type: 'nomad.Job.JobRegistered' }), { code: 'message-not-alert' });
  t.throws(() => readAlertMessage({ ...message, headers: { format: 2 } }), { code: 'message-not-alert' });
});
