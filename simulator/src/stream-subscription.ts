/**
 * One open stream: sends a heartbeat at once and on a ticker, and every frame of the buffer that the filter lets
 * through.
 *
 * States: sending (between batches it yields to the event loop) · waiting for the buffer (at its end) · waiting for the
 * reader (the socket is full: the write deadline runs) · stalled (a fault: nothing is written) · closed (for ever).
 */
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import type { BufferItem, EventBuffer } from './event-buffer.ts';
import type { Faults } from './faults.ts';
import { selectLine } from './frame.ts';
import { selectEvents, type TopicFilter } from './topic-filter.ts';

/** `apart`: line and newline are two writes, as Nomad does it. `joined`: many lines in one write, for load. */
export type Writes = 'apart' | 'joined';

export interface StreamSettings {
  readonly heartbeatMs: number;
  readonly writeTimeoutMs: number;
  readonly writes: Writes;
}

export interface StreamPorts {
  readonly socket: Socket;
  readonly buffer: EventBuffer;
  readonly faults: Faults;
  readonly clock: Clock;
  /** Called whenever the reader has everything there is. */
  readonly onEnd: () => void;
  readonly onClose: () => void;
}

const HEARTBEAT = Buffer.from('{}');
const NEWLINE = Buffer.from('\n');
const BATCH_BYTES = 256 * 1024;

export class StreamSubscription {
  readonly #ports: StreamPorts;
  readonly #settings: StreamSettings;
  readonly filter: TopicFilter;
  readonly #releases: (() => void)[] = [];
  #place: BufferItem;
  #heartbeatDue = true;
  #cutNextLine = false;
  #waiting = false;
  #closed = false;
  #writeDeadline: Timer | undefined;

  constructor(ports: StreamPorts, settings: StreamSettings, filter: TopicFilter, index: number | bigint) {
    this.#ports = ports;
    this.#settings = settings;
    this.filter = filter;
    this.#place = ports.buffer.placeBefore(index);
  }

  /** True when the reader has been sent everything there is. */
  get atEnd(): boolean {
    return !this.#waiting && this.#ports.buffer.after(this.#place) === 'end';
  }

  open(): void {
    const { socket, buffer, faults, clock } = this.#ports;
    const heartbeat = clock.every(this.#settings.heartbeatMs, () => {
      this.#heartbeatDue = true;
      this.#send();
    });
    const send = (): void => {
      this.#send();
    };
    this.#releases.push(
      () => {
        heartbeat.cancel();
      },
      buffer.onAppend(send),
      faults.onChange(send),
    );
    socket.on('close', () => {
      this.#close();
    });
    socket.on('drain', () => {
      this.#writeDeadline?.cancel();
      // n.b. a write that the kernel takes whole drains within the same turn; timers and other sockets want theirs too.
      setImmediate(() => {
        this.#resume();
      });
    });
    this.#send();
  }

  /** Ends the stream: cleanly after what was written, or with a reset. */
  cut(how: 'end' | 'reset'): void {
    if (how === 'reset') this.#ports.socket.resetAndDestroy();
    else this.#ports.socket.end();
    this.#close();
  }

  /** Writes only half of the next frame's line, then ends the stream. */
  cutNextLine(): void {
    this.#cutNextLine = true;
  }

  #resume(): void {
    this.#waiting = false;
    this.#send();
  }

  #send(): void {
    const { socket } = this.#ports;
    if (this.#closed || this.#waiting || this.#ports.faults.mode === 'stall') return;
    if (this.#heartbeatDue) {
      this.#heartbeatDue = false;
      this.#write(HEARTBEAT);
    }
    const joined = this.#settings.writes === 'joined';
    if (joined) socket.cork();
    const sent = this.#sendBatch(joined ? BATCH_BYTES : socket.writableHighWaterMark);
    if (joined) socket.uncork();
    if (sent === 'closed') return;
    if (socket.writableNeedDrain) this.#waitForReader();
    else if (sent === 'more') this.#yield();
    else this.#ports.onEnd();
  }

  /** Sends up to `bytes` or a frame more; tells whether there may be more, there is none, or the stream has ended. */
  #sendBatch(bytes: number): 'more' | 'end' | 'closed' {
    let left = bytes;
    while (left > 0) {
      const next = this.#ports.buffer.after(this.#place);
      if (next === 'end') return 'end';
      if (next === 'dropped') {
        this.cut('end');
        return 'closed';
      }
      this.#place = next;
      left -= this.#sendItem(next);
      if (this.#closed) return 'closed';
    }
    return 'more';
  }

  #sendItem(item: BufferItem): number {
    if (item.frame === undefined) return 0;
    const selected = selectEvents(this.filter, item.frame.events);
    if (selected.length === 0) return 0;
    const line = selectLine(item.frame, selected);
    if (this.#cutNextLine) {
      this.#ports.socket.write(line.subarray(0, line.length >> 1));
      this.cut('end');
    } else this.#write(line);
    return line.length;
  }

  #write(line: Buffer): void {
    this.#ports.socket.write(line);
    this.#ports.socket.write(NEWLINE);
  }

  #yield(): void {
    this.#waiting = true;
    setImmediate(() => {
      this.#resume();
    });
  }

  #waitForReader(): void {
    this.#waiting = true;
    this.#writeDeadline?.cancel();
    this.#writeDeadline = this.#ports.clock.after(this.#settings.writeTimeoutMs, () => {
      this.#ports.socket.destroy();
      this.#close();
    });
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#writeDeadline?.cancel();
    for (const release of this.#releases) release();
    this.#ports.onClose();
  }
}
