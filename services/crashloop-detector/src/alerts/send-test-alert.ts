/** `send-test` where alerts go to a bus: one example alert, and whether anybody gets it, in a sentence. */
import type { Bus } from '@hydrant/shared/bus/bus';
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, HydrantError, isRetryable } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';

export interface SendTestAlertPorts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const tryForMs = 20_000;
const stopWithinMs = 2_000;

/**
 * Resolves with the sentence when a queue has the alert; throws it as `send-test-failed` otherwise. Starts the bus and
 * stops it.
 */
export async function sendTestAlert(bus: Bus, alert: Message, { clock, signal }: SendTestAlertPorts): Promise<string> {
  await bus.start(signal);
  try {
    const result = await publish(bus, alert, { clock, signal });
    if (result === 'routed')
      return `RabbitMQ took the example alert ${alert.id} with the routing key "${alert.routingKey}", and a queue has it`;
    throw failed(
      `RabbitMQ took the example alert ${alert.id}, but no queue is bound to the routing key "${alert.routingKey}": nobody will see alerts`,
    );
  } finally {
    const deadline = new AbortController();
    const timer = clock.after(stopWithinMs, () => {
      deadline.abort();
    });
    await bus.stop(deadline.signal);
    timer.cancel();
  }
}

/** The bus connects in the background: until it has, it takes nothing. */
async function publish(
  bus: Bus,
  alert: Message,
  { clock, signal }: SendTestAlertPorts,
): Promise<'routed' | 'unrouted'> {
  const backoff = createBackoff({ minMs: 50, maxMs: 1_000 });
  const untilMs = clock.monotonic() + tryForMs;
  for (;;) {
    try {
      return await bus.publish(alert, { mandatory: true });
    } catch (error) {
      if (!isRetryable(error) || signal.aborted || clock.monotonic() >= untilMs)
        throw failed(`RabbitMQ did not take the example alert ${alert.id}. What came back: ${describeError(error)}`);
    }
    await clock.sleep(backoff.next(), signal);
  }
}

function failed(sentence: string): HydrantError {
  return new HydrantError(sentence, { code: 'send-test-failed', retryable: true });
}
