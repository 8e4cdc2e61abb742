/** Makes the messages of a frame: ids, routing keys and headers around the events' own bytes. */
import { makeEventMessages } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { Frame } from '../source/frames.ts';
import { createOrdinals, idStem, messageId } from './id.ts';
import { routingKey } from './routing-key.ts';

export interface FrameMessages {
  /** A new connection: what follows may repeat what was seen. */
  streamOpened(): void;
  make(frame: Frame, timestampMs: number): Message[];
}

const unknownHead = { topic: '', type: '', namespace: '', key: '' };

export function createFrameMessages(cluster: string, region: string): FrameMessages {
  const ordinals = createOrdinals();
  return {
    streamOpened: ordinals.streamOpened,
    make({ index, line, events }, timestampMs) {
      const stems = events.map(({ head }) => idStem(cluster, index, head ?? unknownHead));
      const numbers = ordinals.number(index, stems);
      const parts = events.map(({ start, end, head = unknownHead }, position) => ({
        id: messageId(stems[position] ?? '', numbers[position] ?? 0),
        routingKey: routingKey(head),
        topic: head.topic,
        type: head.type,
        body: line.subarray(start, end),
      }));
      return makeEventMessages({ cluster, region, index, origin: 'stream', timestampMs }, parts);
    },
  };
}
