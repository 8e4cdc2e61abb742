/**
 * Publishes messages to a topic of NSQ over nsqd's TCP protocol, a batch with one MPUB. Each batch has a connection of
 * its own: nsqd closes one after each error.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import {
  broken,
  partial,
  permanent,
  retryable,
  type Batch,
  type PartialFailure,
  type Sink,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { size, text } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { parseAddress } from '@hydrant/shared/foundation/host-port';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';

const settings = {
  SINK_NSQ_ADDR: {
    doc: 'TCP address of nsqd, `host:port`.',
    format: text,
    default: null,
    required: true,
    example: 'nsqd.example:4150',
  },
  SINK_NSQ_TOPIC_NAME: { doc: 'Topic.', format: text, default: null, required: true, example: 'nomad-events' },
  SINK_NSQ_MAX_MESSAGE: {
    doc: "Longest message; what is longer is dead-lettered and not sent. As nsqd's `-max-msg-size`.",
    format: size,
    default: '1MiB',
  },
} as const satisfies Schema;

type NsqValues = Values<typeof settings>;

const magic = Buffer.from('  V2');
const heartbeat = '_heartbeat_';
const noOperation = Buffer.from('NOP\n');
const headBytes = 8;
/** Nothing that nsqd says is longer; what claims to be is not nsqd. */
const mostFrame = 64 * 1024;

/** Kinds of frames that nsqd sends. */
export interface Frame {
  readonly kind: 'response' | 'error' | 'message';
  readonly text: string;
}

/** One frame and what follows it; undefined while it is not whole; throws (retryable) on what is no frame. */
export function readFrame(bytes: Buffer): { readonly frame: Frame; readonly rest: Buffer } | undefined {
  if (bytes.length < headBytes) return undefined;
  const length = bytes.readUInt32BE(0);
  if (length < 4 || length > mostFrame)
    throw retryable('Expected nsqd to answer, got something that is no frame (is SINK_NSQ_ADDR its TCP address?)');
  if (bytes.length < 4 + length) return undefined;
  const kind = (['response', 'error', 'message'] as const)[bytes.readUInt32BE(4)] ?? 'message';
  return { frame: { kind, text: bytes.toString('utf8', headBytes, 4 + length) }, rest: bytes.subarray(4 + length) };
}

/** `MPUB`: whole or not at all. */
export function encodePublish(topic: string, bodies: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  for (const body of bodies) parts.push(uint32(body.length), body);
  const payload = Buffer.concat([uint32(bodies.length), ...parts]);
  return Buffer.concat([Buffer.from(`MPUB ${topic}\n`), uint32(payload.length), payload]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const hints: Readonly<Record<string, string>> = {
  E_BAD_TOPIC: 'set SINK_NSQ_TOPIC_NAME',
  E_BAD_BODY: 'above its -max-body-size',
  E_BAD_MESSAGE: 'above its -max-msg-size: set SINK_NSQ_MAX_MESSAGE',
  E_UNAUTHORIZED: 'it asks for a secret, which the sink cannot give',
  E_AUTH_FIRST: 'it asks for a secret, which the sink cannot give',
};
const refusals = new Set(['E_BAD_BODY', 'E_BAD_MESSAGE', 'E_INVALID']);
/** n.b. an `E_INVALID` of the connection: what cannot be said on it now, mostly because it should be one of TLS. */
const wrongState = /^E_INVALID cannot \w+ in current state/u;
const tlsRequired = /\(TLS required\)/u;
const needsTls =
  'it wants TLS (`-tls-required`), which the sink cannot speak: set `-tls-required=tcp-https` or false there, or put a proxy that does in between';

/** Undefined: taken. What nsqd says of the batch is refused; of the topic or of itself (`E_MPUB_FAILED`), waits. */
export function judgeFrame({ kind, text: said }: Frame): Error | undefined {
  if (kind === 'response' && said === 'OK') return undefined;
  const [code = ''] = said.split(' ', 1);
  const isWrongState = wrongState.test(said);
  const hint = isWrongState ? needsTls : hints[code];
  const problem = `Expected nsqd to take messages, got ${said.slice(0, 200)}${hint === undefined ? '' : ` (${hint})`}`;
  return kind === 'error' && refusals.has(code) && !isWrongState ? permanent(problem) : retryable(problem);
}

class NsqSink implements Sink {
  readonly #values: NsqValues;

  constructor(values: NsqValues) {
    this.#values = values;
  }

  /** Batches connect by themselves: an nsqd that is down is noticed by the first of them. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { SINK_NSQ_TOPIC_NAME: topic, SINK_NSQ_MAX_MESSAGE: max } = this.#values;
    const unfit = batch.flatMap(({ body }, index): PartialFailure[] => {
      if (body.length === 0)
        return [{ index, reason: 'Expected a message with a body, NSQ takes no empty one', retryable: false }];
      return body.length <= max
        ? []
        : [
            {
              index,
              reason: `Expected a message of at most ${String(max)} bytes (SINK_NSQ_MAX_MESSAGE), got ${String(body.length)}`,
              retryable: false,
            },
          ];
    });
    const bodies = batch.flatMap(({ body }, index) => (unfit.some((failure) => failure.index === index) ? [] : [body]));
    if (bodies.length > 0)
      await this.#ask(
        encodeOrRefuse(() => encodePublish(topic, bodies)),
        signal,
      );
    if (unfit.length > 0)
      throw partial(`${String(unfit.length)} of ${String(batch.length)} messages do not fit into NSQ`, unfit);
  }

  /** nsqd answers nothing to a NOP; to `CLS` it says that this is no time for it, which is an answer. */
  async healthcheck(signal: AbortSignal): Promise<void> {
    const frame = await this.#exchange(Buffer.from('CLS\n'), signal);
    if (tlsRequired.test(frame.text)) throw judgeFrame(frame) ?? retryable(needsTls);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #ask(command: Buffer, signal: AbortSignal): Promise<void> {
    const failure = judgeFrame(await this.#exchange(command, signal));
    if (failure !== undefined) throw failure;
  }

  /** Sends a command and resolves with nsqd's answer. */
  async #exchange(command: Buffer, signal: AbortSignal): Promise<Frame> {
    const address = this.#values.SINK_NSQ_ADDR;
    const socket = connectTcp(parseAddress(address) ?? { host: '', port: 0 });
    const onAbort = (): void => {
      socket.destroy(new Error('The time for it is up'));
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      socket.write(Buffer.concat([magic, command]));
      return await readAnswer(socket);
    } catch (error) {
      if (errorCode(error) === 'sink-retryable') throw error;
      throw retryable(
        `Expected nsqd at ${address} to answer, got ${errorCode(error) ?? describeError(error)}`,
        undefined,
        error,
      );
    } finally {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
    }
  }
}

async function readAnswer(socket: Socket): Promise<Frame> {
  let bytes = Buffer.alloc(0);
  for await (const part of socket as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, part]);
    for (let read = readFrame(bytes); read !== undefined; read = readFrame(bytes)) {
      bytes = Buffer.from(read.rest);
      if (read.frame.text !== heartbeat) return read.frame;
      socket.write(noOperation);
    }
  }
  throw broken('Expected nsqd to answer, it closed the connection');
}

function check({ SINK_NSQ_ADDR: address, SINK_NSQ_TOPIC_NAME: topic }: NsqValues): readonly string[] {
  const problems: string[] = [];
  if (parseAddress(address) === undefined)
    problems.push(`Expected \`SINK_NSQ_ADDR\` to be nsqd's TCP address as \`host:port\`, got "${address}"`);
  if (!/^[.a-zA-Z0-9_-]{1,64}(?:#ephemeral)?$/u.test(topic) || topic.length > 64)
    problems.push(
      `Expected \`SINK_NSQ_TOPIC_NAME\` to have at most 64 letters, digits, ".", "_" and "-", got "${topic}"`,
    );
  return problems;
}

export const nsqSink: SinkDefinition<typeof settings> = {
  type: 'nsq',
  settings,
  // Below nsqd's -max-body-size of 5 MiB.
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 200 },
  encodedBytes: (message) => message.body.length + 4,
  check,
  create: (values) => new NsqSink(values),
};
