/**
 * GET /v1/event/stream as Nomad 1.11.3 and later answer it: parameters are judged first, then a 200 with a
 * close-delimited body is written to the bare socket, and only then the token, so that a refusal is an empty 200.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { EventBuffer } from './event-buffer.ts';
import type { Faults } from './faults.ts';
import type { Permissions } from './permissions.ts';
import { answerText, readToken, readUrl } from './requests.ts';
import { StreamSubscription, type StreamSettings } from './stream-subscription.ts';
import { parseTopics, type TopicFilter } from './topic-filter.ts';

export interface StreamEndpointPorts {
  readonly buffer: EventBuffer;
  readonly faults: Faults;
  readonly permissions: Permissions;
  readonly clock: Clock;
  /** Every namespace there is now. */
  readonly namespaces: () => readonly string[];
  readonly onOpened?: (opened: { readonly index: number; readonly oldestIndex: number | undefined }) => void;
}

const HEAD = [
  'HTTP/1.1 200 OK',
  'Connection: close',
  'Cache-Control: no-cache',
  'Content-Type: application/json',
  'Vary: Accept-Encoding',
  '\r\n',
].join('\r\n');
const MAX_INDEX = 9_223_372_036_854_775_807n;

export class StreamEndpoint {
  readonly #ports: StreamEndpointPorts;
  readonly #settings: StreamSettings;
  readonly #token: string | undefined;
  readonly #streams = new Set<StreamSubscription>();
  readonly #endListeners = new Set<() => void>();
  #opened = 0;
  #cutNextOpened = false;

  constructor(ports: StreamEndpointPorts, settings: StreamSettings, token: string | undefined) {
    this.#ports = ports;
    this.#settings = settings;
    this.#token = token;
  }

  /** Streams that are open now. */
  get clients(): number {
    return this.#streams.size;
  }

  /** Streams that were ever opened. */
  get opened(): number {
    return this.#opened;
  }

  /** True when there are readers and each has been sent everything there is. */
  get readersAtEnd(): boolean {
    return this.#streams.size > 0 && [...this.#streams].every((stream) => stream.atEnd);
  }

  /** Calls `listener` whenever a reader has been sent everything there is. */
  onReaderAtEnd(listener: () => void): void {
    this.#endListeners.add(listener);
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', socket } = request;
    const parameters = readUrl(request).searchParams;
    if (method !== 'GET') {
      answerText(response, 405, 'Invalid method');
      return;
    }
    const index = parseIndex(parameters.get('index') ?? '');
    if (index === undefined) {
      answerText(response, 400, `Unable to parse index: ${parameters.get('index') ?? ''} is no integer`);
      return;
    }
    const topics = parseTopics(parameters.getAll('topic'));
    if ('invalid' in topics) {
      answerText(
        response,
        400,
        `Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: ${topics.invalid}`,
      );
      return;
    }
    socket.setNoDelay(true);
    socket.write(HEAD);
    const filter = { topics, namespaces: this.#resolveNamespaces(parameters.get('namespace')) };
    if (this.#isDenied(request) || !this.#ports.permissions.allowsStream(filter)) {
      socket.end();
      return;
    }
    this.#open(socket, filter, index);
  }

  cutAll(how: 'end' | 'reset'): void {
    for (const stream of [...this.#streams]) stream.cut(how);
  }

  /** Ends the streams that would not be allowed any more. */
  cutRefused(): void {
    for (const stream of [...this.#streams]) {
      if (!this.#ports.permissions.allowsStream(stream.filter)) stream.cut('end');
    }
  }

  /** Each open stream ends in the middle of its next frame; without one, the next stream that opens. */
  cutNextLines(): void {
    this.#cutNextOpened = this.#streams.size === 0;
    for (const stream of this.#streams) stream.cutNextLine();
  }

  #open(socket: Socket, filter: TopicFilter, index: bigint): void {
    const { buffer, faults, clock } = this.#ports;
    const onEnd = (): void => {
      for (const listener of this.#endListeners) listener();
    };
    const onClose = (): void => {
      this.#streams.delete(stream);
    };
    const stream = new StreamSubscription(
      { socket, buffer, faults, clock, onEnd, onClose },
      this.#settings,
      filter,
      index,
    );
    if (this.#cutNextOpened) stream.cutNextLine();
    this.#cutNextOpened = false;
    this.#streams.add(stream);
    this.#opened += 1;
    this.#ports.onOpened?.({ index: Number(index), oldestIndex: buffer.oldestIndex });
    stream.open();
  }

  #isDenied(request: IncomingMessage): boolean {
    return this.#ports.faults.mode === 'deny' || (this.#token !== undefined && readToken(request) !== this.#token);
  }

  #resolveNamespaces(namespace: string | null): ReadonlySet<string> {
    const asked = namespace === null || namespace === '' ? 'default' : namespace;
    return new Set(asked === '*' ? this.#ports.namespaces() : [asked]);
  }
}

function parseIndex(text: string): bigint | undefined {
  if (text === '') return 0n;
  if (!/^\+?\d+$/.test(text)) return undefined;
  const index = BigInt(text.replace('+', ''));
  return index <= MAX_INDEX ? index : undefined;
}
