/**
 * What the parts of the bus contract share: whom they hold to it, what they publish, and handlers that write down what
 * they get.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import { systemClock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import type { Bus, Delivery, Handler, Settlement, SubscriptionOptions } from './bus.ts';

export interface BusFixture {
  /** Started. Stopped by whoever made it (`t.teardown`). */
  readonly bus: Bus;
  /** Stops the bus and gives a new, started one over the same queues. */
  restart?(): Promise<Bus>;
  /** What lies in the dead-letter queue of a subscription, oldest first. */
  deadLetters(subscription: string): Promise<readonly Message[]>;
}

export interface BusAdapter {
  readonly name: string;
  create(t: Test): Promise<BusFixture>;
}

export const ack: Settlement = { action: 'ack' };
export const never = new AbortController().signal;
let names = 0;

/** Queue names that no other behaviour and no earlier run has used. */
function uniqueName(): string {
  names += 1;
  return `contract.${process.pid}.${Math.floor(systemClock.now())}.${names}`;
}

export function makeMessage(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: `default/${n}/Allocation/default/key/0`,
    routingKey: 'event.Allocation.AllocationUpdated.default.web',
    type: 'nomad.Allocation.AllocationUpdated',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: 1_790_000_000_000,
    headers: { cluster: 'default', index: n, origin: 'stream', snapshot: false },
    body: Buffer.from(`{"Index":${n},"Time":1790000000123456789}`),
    ...changes,
  };
}

export function makeOptions(changes: Partial<SubscriptionOptions> = {}): SubscriptionOptions {
  return {
    name: uniqueName(),
    bindings: ['event.#'],
    prefetch: 10,
    maxHeldBytes: 1_000_000,
    consumer: 'contract',
    ...changes,
  };
}

export function ids(messages: readonly Message[]): string[] {
  return messages.map((message) => message.id);
}

export async function publishAll(bus: Bus, messages: readonly Message[]): Promise<void> {
  await Promise.all(messages.map((message) => bus.publish(message)));
}

export function makeMessages(count: number, changes: Partial<Message> = {}): Message[] {
  return Array.from({ length: count }, (_, n) => makeMessage(n + 1, changes));
}

/** A handler that writes down what it gets and settles by `settle`, default ack. */
export function collect(settle: (delivery: Delivery, calls: number) => Settlement | Promise<Settlement> = () => ack): {
  readonly seen: Delivery[];
  readonly messages: () => Message[];
  readonly handler: Handler;
} {
  const seen: Delivery[] = [];
  const handler: Handler = async (delivery) => {
    seen.push(delivery);
    return settle(delivery, seen.filter((one) => one.message.id === delivery.message.id).length);
  };
  return { seen, messages: () => seen.map((delivery) => delivery.message), handler };
}

export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function makeGate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return {
    opened,
    open: () => {
      open();
    },
  };
}

/** A handler that holds every message until the gate opens, then acks. */
export function hold(gate: Gate): ReturnType<typeof collect> {
  return collect(async () => {
    await gate.opened;
    return ack;
  });
}

/**
 * Publishes one message more and waits until a second, free subscription has it: whatever else was to be handed out by
 * now has been.
 */
export async function witness(bus: Bus, marker: Message): Promise<void> {
  const free = collect();
  const subscription = await bus.subscribe(makeOptions({ bindings: [marker.routingKey] }), free.handler, never);
  await bus.publish(marker);
  await eventually(() => free.messages().some((message) => message.id === marker.id));
  await subscription.close(never);
}
