/** Which queue a command is about, for a sink whose settings may be gone. */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { findSink } from '@hydrant/sinks/registry';

export interface QueueSettings {
  readonly AMQP_QUEUE: string | null;
  readonly SINK_NAME: string | null;
  readonly SINK_TYPE: string | null;
}

/** Throws `arguments-invalid` when nothing says it. */
export function findQueueName(
  given: string | null,
  { AMQP_QUEUE: queue, SINK_NAME: name, SINK_TYPE: type }: QueueSettings,
): string {
  const sink = name ?? (type === null ? null : (findSink(type)?.type ?? type));
  const found = given ?? queue ?? (sink === null ? null : `hydrant.sink.${sink}`);
  if (found !== null) return found;
  throw new HydrantError(
    'Expected `--queue`, AMQP_QUEUE, SINK_NAME or SINK_TYPE to say which queue is meant, none of them is set',
    { code: 'arguments-invalid', retryable: false },
  );
}
