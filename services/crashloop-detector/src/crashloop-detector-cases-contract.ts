/** What the tests of the whole detector share. */
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Bus, Handler, PublishResult, Settlement, SubscriptionOptions } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { readRecording } from '@hydrant/testing/recordings';
import { createFileStateStore } from '@hydrant/shared/state/file/file-state-store';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { createBusAlertPublisher } from './alerts/bus-alert-publisher.ts';
import type { AlertPublisher } from './alerts/alert-publisher.ts';
import { createCrashloopDetector, type CrashloopDetectorOptions } from './crashloop-detector.ts';
import { manualClock, timedLedger } from './ledger/ledger-cases-contract.ts';
import type { Ledger } from './ledger/ledger.ts';
import { stateLimits } from './ledger/state-ledger.ts';
import type { DetectorTelemetry } from './telemetry.ts';

export const never = new AbortController().signal;

/** A bus that hands messages straight to the one handler and keeps what is published. */
export class FakeBus implements Bus {
  readonly name = 'fake';
  readonly healthChecks = [];
  readonly published: Message[] = [];
  subscribed: SubscriptionOptions | undefined;
  publishing: () => Promise<PublishResult> = () => Promise.resolve('routed');
  #handler: Handler | undefined;

  start(): Promise<void> {
    return Promise.resolve();
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
  hasQueue(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async publish(message: Message): Promise<PublishResult> {
    const result = await this.publishing();
    this.published.push(message);
    return result;
  }

  subscribe(options: SubscriptionOptions, handler: Handler) {
    this.subscribed = options;
    this.#handler = handler;
    return Promise.resolve({
      pause: () => Promise.resolve(),
      release: () => Promise.resolve(),
      resume: () => Promise.resolve(),
      close: () => Promise.resolve(),
      held: 0,
    });
  }

  deliver(message: Message): Promise<Settlement> {
    if (this.#handler === undefined) throw new Error('Expected a subscription');
    return this.#handler({ message, redelivered: false, receivedAtMs: 0 });
  }
}

/** Telemetry that counts the calls. */
export function countingTelemetry(): DetectorTelemetry & { readonly counts: Map<string, number> } {
  const counts = new Map<string, number>();
  const count = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  return {
    counts,
    eventReceived: (kind) => {
      count(kind);
    },
    eventRefused: () => {
      count('refused');
    },
    eventRetried: () => {
      count('retried');
    },
    eventSettled: () => undefined,
    decided: ({ action }) => {
      count(`decided ${action}`);
    },
    crashesMuted: () => {
      count('muted');
    },
    crashesToldTwice: () => {
      count('told twice');
    },
    alertPublished: (status) => {
      count(status);
    },
    alertUnrouted: () => {
      count('unrouted');
    },
    resolvedRefused: () => {
      count('resolved refused');
    },
    resolvedRetried: () => {
      count('resolved retried');
    },
    ledgerSized: () => undefined,
    partIgnored: () => {
      count('ignored');
    },
    clockBehind: () => {
      count('behind');
    },
    loopSilent: () => {
      count('silent');
    },
  };
}

export const options: CrashloopDetectorOptions = {
  queue: 'hydrant.crashloop-detector',
  bindings: ['event.Allocation.#'],
  prefetch: 500,
  maxHeldBytes: 1_000_000,
  alertRoutingKey: 'crash-loop',
  resolvedRoutingKey: 'crash-loop-resolved',
  notifyResolved: true,
  groupBy: 'lineage',
  rule: { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 },
  overrides: [],
  retryMinMs: 1,
  retryMaxMs: 2,
};

export interface Parts {
  readonly options?: Partial<CrashloopDetectorOptions>;
  readonly ledger?: (real: Ledger) => Ledger;
  readonly alertPublisher?: AlertPublisher;
}

export async function startDetector(t: Test, parts: Parts = {}) {
  const bus = new FakeBus();
  const clock = manualClock(0);
  const store = createFileStateStore({
    path: join(testFolder(t, {}), 'state.ndjson'),
    limits: stateLimits(1000),
    log: testLog(),
    clock,
  });
  await store.start(never);
  const ledger = timedLedger(store, clock);
  const telemetry = countingTelemetry();
  const detector = createCrashloopDetector({
    options: { ...options, ...parts.options },
    bus,
    ledger: parts.ledger?.(ledger) ?? ledger,
    alertPublisher: parts.alertPublisher ?? createBusAlertPublisher(bus),
    telemetry,
    log: testLog(),
    clock: systemClock,
  });
  await detector.start(never);
  t.teardown(async () => {
    await detector.stop(never);
    await store.stop(never);
  });
  return { bus, telemetry, detector };
}

/** The messages that a firehose would make of a recording's events, in order. */
export async function recordedMessages(): Promise<Message[]> {
  const messages: Message[] = [];
  for (const line of await readRecording('crashing-cluster')) {
    forEachMember(line, 0, (member, at) => {
      if (member !== 'Events') return;
      forEachElement(line, at, (from, to) => {
        messages.push(makeMessage(line.subarray(from, to)));
      });
    });
  }
  return messages;
}

export function makeMessage(body: Buffer, origin: 'stream' | 'snapshot' = 'stream'): Message {
  const { topic, type, key, namespace, index } = readEventHead(body, 0, body.length);
  const id = `eu/${index}/${topic}/${namespace}/${key}/0`;
  return makeEventMessage({
    cluster: 'eu',
    region: 'global',
    index,
    origin,
    timestampMs: 0,
    id,
    routingKey: `event.${topic}.${type}.${namespace}._`,
    topic,
    type,
    body,
  });
}

export async function allocationMessages(): Promise<Message[]> {
  return (await recordedMessages()).filter(({ type }) => type.startsWith('nomad.Allocation.'));
}
