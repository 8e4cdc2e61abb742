/**
 * Makes the messages of a frame: ids, routing keys and headers around the events' own bytes, but for what is redacted
 * in them.
 */
import { makeEventMessages } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { Frame, FrameEvent } from '../source/scan-frame.ts';
import { createOrdinals, idStem, messageId } from './id.ts';
import { idPrefix } from './id-prefix.ts';
import type { Redact } from './redact.ts';
import { routingKey } from './routing-key.ts';

export interface FrameMessages {
  /** A new connection: what follows may repeat what was seen. */
  streamOpened(): void;
  /** `prefix` is what the ids begin with; the cluster's name unless it is given. */
  make(frame: Frame, timestampMs: number, prefix?: string): FrameMessagesMade;
}

export interface FrameMessagesMade {
  /** The frame's events, but for those that are left out. */
  readonly events: readonly FrameEvent[];
  /** One of each. */
  readonly messages: Message[];
}

export interface FrameMessageOptions {
  readonly cluster: string;
  /** As it stands in headers. */
  readonly region: string;
  readonly redact: Redact;
  readonly leavesOut?: ((line: Buffer, event: FrameEvent) => boolean) | undefined;
}

const unknownHead = { topic: '', type: '', namespace: '', key: '' };

function leavesNothingOut(): boolean {
  return false;
}

export function createFrameMessages({
  cluster,
  region,
  redact,
  leavesOut = leavesNothingOut,
}: FrameMessageOptions): FrameMessages {
  const ordinals = createOrdinals();
  return {
    streamOpened: ordinals.streamOpened,
    make({ index, line, events }, timestampMs, prefix = idPrefix({ cluster, region: '' }, 0)) {
      const stems = events.map(({ head }) => idStem(prefix, index, head ?? unknownHead));
      const numbers = ordinals.number(index, stems);
      const kept = events
        .map((event, position) => ({ event, position }))
        .filter(({ event }) => !leavesOut(line, event));
      const parts = kept.map(({ event: { start, end, head = unknownHead }, position }) => ({
        id: messageId(stems[position] ?? '', numbers[position] ?? 0),
        routingKey: routingKey(head),
        topic: head.topic,
        type: head.type,
        body: redact(line, start, end, head.topic),
      }));
      return {
        events: kept.map(({ event }) => event),
        messages: makeEventMessages({ cluster, region, index, origin: 'stream', timestampMs }, parts),
      };
    },
  };
}
