/** What a sink-worker does with a message from its queue: into a batch, or at once to the dead letters. */
import type { Handler } from '@hydrant/shared/bus/bus';
import type { DeliveryTelemetry } from '@hydrant/shared/delivery/delivery-telemetry';

const openBrace = 0x7b;
const closeBrace = 0x7d;
const space = 0x20;

/**
 * Whether a body begins and ends as a JSON object, which events and alerts are. What stands between is not read: that
 * would cost more than all the rest.
 */
export function looksLikeObject(body: Buffer): boolean {
  let end = body.length - 1;
  // Tabs and line breaks are below the space.
  while (end > 0 && (body[end] ?? 0) <= space) end -= 1;
  let start = 0;
  while (start < end && (body[start] ?? 0) <= space) start += 1;
  return start < end && body[start] === openBrace && body[end] === closeBrace;
}

export function createHandler(
  delivery: { readonly handle: Handler },
  telemetry: Pick<DeliveryTelemetry, 'messageDeadLettered'>,
): Handler {
  return (incoming) => {
    if (looksLikeObject(incoming.message.body)) return delivery.handle(incoming);
    const reason = 'Expected the body to be a JSON object, as events and alerts are, got something else';
    telemetry.messageDeadLettered(incoming.message.id, reason);
    return Promise.resolve({ action: 'dead-letter', reason, attempts: 0 });
  };
}
