/** What amqplib throws, in the words of the bus port. */
import { HydrantError } from '../../foundation/errors.ts';

export function unavailable(why: string, cause?: unknown): HydrantError {
  return new HydrantError(`Expected RabbitMQ to take the message, but ${why}`, {
    code: 'bus-unavailable',
    retryable: true,
    cause,
  });
}

export function refused(queueHint: string): HydrantError {
  return new HydrantError(
    `Expected RabbitMQ to take the message with routing key "${queueHint}", but it refused: a queue bound to it is full (x-overflow reject-publish) or not available`,
    { code: 'bus-refused', retryable: true },
  );
}

export function invalidMessage(id: string, why: string, cause?: unknown): HydrantError {
  return new HydrantError(`Expected message "${id.slice(0, 300)}" to fit AMQP, but ${why}`, {
    code: 'bus-message-invalid',
    retryable: false,
    cause,
  });
}

/** AMQP's reply code (404, 406, …) of an error made from a broker's answer. */
export function replyCode(thrown: unknown): number | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'number' ? thrown.code : undefined;
}
