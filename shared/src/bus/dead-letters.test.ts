import t from 'tap';
import type { Message } from '../messages/message.ts';
import { makeDeadLetter, makeReplayed, readDeadLetter, restoreReplayed } from './dead-letters.ts';

const message: Message = {
  id: 'default/7/Allocation/default/a/0',
  routingKey: 'event.Allocation.AllocationUpdated.default.web',
  type: 'nomad.Allocation.AllocationUpdated',
  contentType: 'application/json',
  appId: 'hydrant-firehose',
  timestampMs: 1_790_000_000_000,
  headers: { cluster: 'default', index: 7 },
  body: Buffer.from([1, 0xff]),
};
const failure = {
  subscription: 'hydrant.sink.http',
  consumer: 'http',
  reason: 'The sink answered 400',
  attempts: 2,
  failedAtMs: 1_790_000_001_500,
};

t.test('a dead letter keeps id, bytes and headers and adds the reason', (t) => {
  t.strictSame(makeDeadLetter(message, failure), {
    ...message,
    routingKey: 'hydrant.sink.http',
    headers: {
      cluster: 'default',
      index: 7,
      error: 'The sink answered 400',
      attempts: 2,
      'failed-at': '2026-09-21T14:13:21.500Z',
      sink: 'http',
      'routing-key': 'event.Allocation.AllocationUpdated.default.web',
    },
  });
  t.end();
});

t.test('a dead letter of a dead letter says the last reason', (t) => {
  const again = makeDeadLetter(makeDeadLetter(message, failure), { ...failure, reason: 'Still 400', attempts: 5 });
  t.match(again.headers, { error: 'Still 400', attempts: 5, cluster: 'default' });
  t.end();
});

t.test('headers that leave no room for the reason are given up, a long reason is cut', (t) => {
  const large = makeDeadLetter(
    { ...message, headers: { large: 'x'.repeat(60_000) } },
    { ...failure, reason: 'e'.repeat(10_000) },
  );
  t.notOk('large' in large.headers);
  t.equal(String(large.headers['error']).length, 2_000);
  t.equal(large.body, message.body);
  t.end();
});

t.test('a dead letter is read back as what it was and why', (t) => {
  const letter = readDeadLetter(makeDeadLetter(message, failure));
  t.strictSame(letter, {
    message,
    error: 'The sink answered 400',
    attempts: 2,
    failedAt: '2026-09-21T14:13:21.500Z',
    sink: 'http',
  });
  t.end();
});

t.test('what RabbitMQ dead-lettered by itself says why, and loses the marks of it', (t) => {
  const death = JSON.stringify([{ reason: 'delivery_limit', 'routing-keys': [message.routingKey], count: 1 }]);
  const kept = {
    ...message,
    routingKey: 'hydrant.sink.http',
    headers: {
      ...message.headers,
      'x-death': death,
      'x-first-death-reason': 'delivery_limit',
      'x-last-death-queue': 'q',
    },
  };
  t.strictSame(readDeadLetter(kept), {
    message,
    error: 'RabbitMQ dead-lettered it: delivery_limit',
    attempts: undefined,
    failedAt: '',
    sink: '',
  });
  t.match(readDeadLetter({ ...message, headers: { 'x-death': 'no list' } }), { error: 'no reason is given' });
  t.match(readDeadLetter(message), { message, error: 'no reason is given' });
  t.end();
});

t.test('a replayed message goes to one place and is then what it was', (t) => {
  const letter = readDeadLetter(makeDeadLetter(message, failure));
  const replayed = makeReplayed(letter, 'hydrant.sink.http');
  t.equal(replayed.routingKey, 'hydrant.sink.http');
  t.strictSame(restoreReplayed(replayed), message);
  t.strictSame(restoreReplayed(message), message);
  t.end();
});
