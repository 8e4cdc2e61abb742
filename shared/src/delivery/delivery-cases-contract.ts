/** What the tests of delivery share. */
import { recordingLog } from '@hydrant/testing/test-log';
import type { Settlement } from '../bus/bus.ts';
import type { Clock, Timer } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { createDelivery, type SinkDelivery } from './delivery.ts';
import type { DeliveryOptions } from './delivery-settings.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import type { Sink } from './sink.ts';

export const never = new AbortController().signal;

export const ack: Settlement = { action: 'ack' };

export function makeMessage(name: string): Message {
  return {
    id: name,
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{"a":1}'),
  };
}

/** Time stands still until `advance`. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<object, { readonly atMs: number; readonly action: () => void }>();

  now = (): number => this.#nowMs;
  monotonic = (): number => this.#nowMs;
  every = (): Timer => {
    throw new Error('Nobody needs it here');
  };

  after(ms: number, action: () => void): Timer {
    const key = {};
    this.#timers.set(key, { atMs: this.#nowMs + ms, action });
    return {
      cancel: () => {
        this.#timers.delete(key);
      },
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.after(ms, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          timer.cancel();
          resolve();
        },
        { once: true },
      );
    });
  }

  get timers(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const [key, { atMs, action }] of [...this.#timers]) {
      if (atMs > this.#nowMs || !this.#timers.delete(key)) continue;
      action();
    }
  }
}

/** Lets everything that waits for nothing but its turn go on. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
}

export interface Stage {
  readonly delivery: SinkDelivery;
  readonly clock: ManualClock;
  /** Ids of each call of `write`. */
  readonly writes: string[];
  /** By message, as soon as it is settled. */
  readonly settlements: Record<string, Settlement>;
  readonly calls: string[];
  hand(names: string): void;
}

export const options: DeliveryOptions = {
  name: 'here',
  batchEvents: 3,
  batchBytes: 1000,
  batchAgeMs: 500,
  concurrency: 1,
  timeoutMs: 2000,
  maxHeldBytes: 1e6,
  prefetch: 100,
  retry: { minMs: 100, maxMs: 1000, forMs: 0 },
  pauseAfterMs: 60_000,
  poisonAfterMs: 0,
  encodedBytes: () => 10,
};

export function setStage(sink: Partial<Sink> = {}, changes: Partial<DeliveryOptions> = {}): Stage {
  const clock = new ManualClock();
  const writes: string[] = [];
  const calls: string[] = [];
  const settlements: Record<string, Settlement> = {};
  const metrics = createMetrics({ service: 'test', version: '0' });
  const delivery = createDelivery({
    sink: {
      connect: sink.connect ?? (async () => undefined),
      async write(batch, signal) {
        writes.push(batch.map((message) => message.id).join(''));
        await sink.write?.(batch, signal);
      },
      healthcheck: async () => undefined,
      close: async () => {
        calls.push('close');
      },
    },
    options: { ...options, ...changes },
    telemetry: createDeliveryTelemetry('here', { metrics, log: recordingLog().log, clock }),
    clock,
  });
  const hand = (names: string): void => {
    for (const name of names)
      void delivery.handle({ message: makeMessage(name), redelivered: false, receivedAtMs: 0 }).then((settlement) => {
        settlements[name] = settlement;
      });
  };
  return { delivery, clock, writes, settlements, calls, hand };
}
