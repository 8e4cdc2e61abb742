import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { readAlertMessage } from '../messages/alert-message.ts';
import { readEventMessage } from '../messages/event-message.ts';
import type { Message } from '../messages/message.ts';
import { chooseExample, readSendTestRequest, sendTest } from './send-test.ts';
import { partial, permanent, retryable, type Sink } from './sink.ts';

const never = new AbortController().signal;
const options = { name: 'here', timeoutMs: 30_000, clock: systemClock, signal: never };

interface FakeSink {
  readonly sink: Sink;
  readonly written: Message[];
  readonly isClosed: () => boolean;
}

function makeSink(failure?: Error, connectFailure?: Error): FakeSink {
  const written: Message[] = [];
  let isClosed = false;
  return {
    written,
    isClosed: () => isClosed,
    sink: {
      async connect() {
        if (connectFailure !== undefined) throw connectFailure;
      },
      async write(batch) {
        written.push(...batch);
        if (failure !== undefined) throw failure;
      },
      healthcheck: async () => undefined,
      async close() {
        isClosed = true;
      },
    },
  };
}

void t.test('the example is what the sink would get', (t) => {
  const nowMs = Date.parse('2026-05-06T07:08:09Z');
  t.match(readEventMessage(chooseExample(['event.#'], false, nowMs)), {
    topic: 'Job',
    type: 'JobRegistered',
    origin: 'stream',
    cluster: 'hydrant-test',
  });
  t.match(JSON.parse(chooseExample(['event.#', 'crash-loop'], false, nowMs).body.toString()), {
    Topic: 'Job',
    Payload: { Job: { StatusDescription: /an example/iu } },
  });
  const opened = chooseExample(['crash-loop', 'crash-loop-resolved'], false, nowMs);
  const resolved = chooseExample(['event.#'], true, nowMs);
  t.match(readAlertMessage(opened), { status: 'opened', id: readAlertMessage(resolved).id });
  t.match(resolved, { routingKey: 'crash-loop-resolved', type: 'crash-loop-resolved' });
  t.same(readSendTestRequest(['a', '--resolved']), { isResolved: true, sinks: ['a'] });
  t.throws(() => readSendTestRequest(['--what']), { code: 'arguments-invalid' });
  t.end();
});

void t.test('what was taken is said in a sentence, and the sink is closed', async (t) => {
  const { sink, written, isClosed } = makeSink();
  const example = chooseExample(['event.#'], false, 1);

  t.match(
    await sendTest(sink, example, options),
    /^The sink here took the example event hydrant-test\/1\/Job\/default\/hydrant-send-test\/0 in \d+ ms$/u,
  );

  t.same(written, [example]);
  t.ok(isClosed());
});

void t.test('what was not taken is said with what came back', async (t) => {
  const cases: readonly (readonly [FakeSink, RegExp])[] = [
    [makeSink(permanent('got 400: bad')), /did not take the example alert .*refused it for good.*got 400: bad$/u],
    [makeSink(retryable('got 503')), /may take it later.*got 503$/u],
    [
      makeSink(partial('0 of 1', [{ index: 0, reason: 'too large', retryable: false }])),
      /refused it for good.*too large$/u,
    ],
    [makeSink(undefined, new Error('no route')), /may take it later.*no route$/u],
  ];
  for (const [{ sink, isClosed }, message] of cases) {
    await t.rejects(sendTest(sink, chooseExample(['crash-loop'], false, 1), options), {
      code: 'send-test-failed',
      message,
    });
    t.ok(isClosed());
  }
});
