import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { makeExampleAlert } from '@hydrant/shared/messages/example-messages';
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import type { Message } from '@hydrant/shared/messages/message';
import { eventually } from '@hydrant/testing/eventually';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { sendTestAlert } from './send-test-alert.ts';

const never = new AbortController().signal;

function makeBus(t: Test, url: string) {
  const bus = createAmqpBus({
    urls: [url],
    exchange: 'nomad',
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
  });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  return bus;
}

/** What comes to a queue that is bound to alerts, as that of a chat sink. */
async function listen(t: Test, url: string): Promise<readonly Message[]> {
  const received: Message[] = [];
  const bus = makeBus(t, url);
  await bus.start(never);
  await bus.subscribe(
    {
      name: 'hydrant.sink.slack',
      bindings: ['crash-loop', 'crash-loop-resolved'],
      prefetch: 10,
      maxHeldBytes: 1e6,
      consumer: 'test',
    },
    ({ message }) => {
      received.push(message);
      return Promise.resolve({ action: 'ack' });
    },
    never,
  );
  return received;
}

interface Ended {
  readonly code: number;
  readonly out: string;
}

/** The command itself, as a person runs it. */
function runCommand(url: string): Promise<Ended> {
  const loader = process.execArgv.filter(
    (argument) => argument.startsWith('--import') || argument.startsWith('--conditions'),
  );
  const env = { PATH: process.env['PATH'] ?? '', AMQP_CONNECTION: url };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...loader, fileURLToPath(new URL('../main.ts', import.meta.url)), 'send-test'],
      { env, timeout: 120_000 },
      (error, out) => {
        resolve({ code: error === null ? 0 : Number(error.code), out });
      },
    );
  });
}

void t.test('send-test to RabbitMQ: a queue that is bound to alerts has it, and the command says so', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const received = await listen(t, broker.url);

  const opened = await runCommand(broker.url);
  const resolved = await sendTestAlert(makeBus(t, broker.url), makeExampleAlert(0, 'resolved'), {
    clock: systemClock,
    signal: never,
  });

  t.match(opened, {
    code: 0,
    out: /^RabbitMQ took the example alert \S+ with the routing key "crash-loop", and a queue has it\n$/u,
  });
  t.match(resolved, /with the routing key "crash-loop-resolved", and a queue has it$/u);
  await eventually(() => received.length === 2);
  const alerts = received.map((message) => readAlertMessage(message));
  t.match(alerts, [{ status: 'opened' }, { status: 'resolved' }]);
  t.equal(alerts[0]?.id, alerts[1]?.id, 'the end of the same alert');
});

void t.test('send-test to RabbitMQ: that nobody would see alerts is an error', async (t) => {
  const broker = await startPrivateRabbitMq(t);

  const sending = sendTestAlert(makeBus(t, broker.url), makeExampleAlert(0, 'opened'), {
    clock: systemClock,
    signal: never,
  });

  await t.rejects(sending, {
    code: 'send-test-failed',
    message: /no queue is bound to the routing key "crash-loop": nobody will see alerts$/u,
  });
});

void t.test('send-test to RabbitMQ: a broker that is away is said with what came back', async (t) => {
  const [port] = (await findFreePorts(1)) as [number];
  const limit = new AbortController();
  const sending = sendTestAlert(
    makeBus(t, `amqp://guest:guest@127.0.0.1:${String(port)}/`),
    makeExampleAlert(0, 'opened'),
    { clock: systemClock, signal: limit.signal },
  );
  limit.abort();

  await t.rejects(sending, {
    code: 'send-test-failed',
    message: /^RabbitMQ did not take the example alert .*What came back: /u,
  });
});
