/**
 * Sends each message to a syslog server: RFC 5424 over UDP, TCP, TLS or a Unix stream socket, or through the system's
 * own socket. A batch on a stream has a connection of its own, because only a server that reads to the end and closes
 * shows that it took everything.
 */
import { isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import {
  partial,
  type Batch,
  type PartialFailure,
  type Sink,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { oneOf, path, size, text } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { parseAddress } from '@hydrant/shared/foundation/host-port';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { encodeLines } from './encoding/lines.ts';
import { sendEach } from './http-request/send-each.ts';
import { countOctets, toRfc5424, type Origin } from './syslog/format.ts';
import { findLogger, sendDatagram, sendOnStream, sendToLocal } from './syslog/transports.ts';

const settings = {
  SINK_SYSLOG_PROTO: {
    doc: "Way to the server; none: the system's own socket, through the program `logger`.",
    format: oneOf(['udp', 'tcp', 'tls', 'unix']),
    default: null,
  },
  SINK_SYSLOG_ADDR: {
    doc: 'Address of the server, `host:port`; with `unix` the path of its stream socket.',
    format: text,
    default: null,
    example: 'syslog.example:514',
  },
  SINK_SYSLOG_TAG: {
    doc: 'Name of the program that messages come from (APP-NAME).',
    format: text,
    default: 'nomad-firehose',
  },
  SINK_SYSLOG_CA_CERT_PATH: {
    doc: "PEM file of the authority that signed the server's certificate; none: those that Node.js knows.",
    format: path,
    default: null,
  },
  SINK_SYSLOG_MAX_MESSAGE: {
    doc: 'Longest message, header included; what is longer is dead-lettered and not sent. As the server has it; UDP carries at most 65507 bytes.',
    format: size,
    default: '64KB',
  },
} as const satisfies Schema;

type SyslogValues = Values<typeof settings>;

const mostOfUdp = 65_507;

/** Those that no server would take whole: it would cut them off or in two, and nobody would hear of it. */
export function findTooLong(lengths: readonly number[], max: number): readonly PartialFailure[] {
  return lengths.flatMap((length, index) =>
    length <= max
      ? []
      : [
          {
            index,
            reason: `Expected a message of at most ${String(max)} bytes (SINK_SYSLOG_MAX_MESSAGE), got ${String(length)}`,
            retryable: false,
          },
        ],
  );
}

class SyslogSink implements Sink {
  readonly #values: SyslogValues;
  readonly #origin: Origin;

  constructor(values: SyslogValues) {
    this.#values = values;
    this.#origin = { host: hostname(), tag: values.SINK_SYSLOG_TAG, pid: process.pid };
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#values.SINK_SYSLOG_PROTO === null) await findLogger(signal);
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const max =
      this.#values.SINK_SYSLOG_PROTO === 'udp'
        ? Math.min(mostOfUdp, this.#values.SINK_SYSLOG_MAX_MESSAGE)
        : this.#values.SINK_SYSLOG_MAX_MESSAGE;
    const tooLong = encodeOrRefuse(() =>
      findTooLong(
        batch.map((message) => toRfc5424(message, this.#origin).length),
        max,
      ),
    );
    const rest =
      tooLong.length === 0
        ? batch
        : batch.filter((_message, index) => !tooLong.some((failure) => failure.index === index));
    // n.b. what fails here fails the whole batch: those too long are named again by the next try.
    if (rest.length > 0) await this.#send(rest, signal);
    if (tooLong.length > 0)
      throw partial(`${String(tooLong.length)} of ${String(batch.length)} messages are too long for syslog`, tooLong);
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { SINK_SYSLOG_PROTO: proto } = this.#values;
    if (proto === null) await findLogger(signal);
    else if (proto !== 'udp') await this.#sendOnStream(Buffer.alloc(0), signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #send(batch: Batch, signal: AbortSignal): Promise<void> {
    const {
      SINK_SYSLOG_PROTO: proto,
      SINK_SYSLOG_ADDR: address,
      SINK_SYSLOG_TAG: tag,
      SINK_SYSLOG_MAX_MESSAGE: maxBytes,
    } = this.#values;
    if (proto === null) {
      await sendToLocal(
        encodeLines(batch),
        { tag, pid: this.#origin.pid, maxBytes, path: address ?? undefined },
        signal,
      );
    } else if (proto === 'udp') {
      const { host, port } = parseAddress(address ?? '') ?? { host: '', port: 0 };
      await sendOneByOne(batch, (bytes) => sendDatagram(bytes, { host, port, isIpv6: isIPv6(host) }), this.#origin);
    } else {
      await this.#sendOnStream(
        Buffer.concat(batch.map((message) => countOctets(toRfc5424(message, this.#origin)))),
        signal,
      );
    }
  }

  #sendOnStream(bytes: Buffer, signal: AbortSignal): Promise<void> {
    const { SINK_SYSLOG_PROTO: proto, SINK_SYSLOG_ADDR: address, SINK_SYSLOG_CA_CERT_PATH: caPath } = this.#values;
    const shown = address ?? '';
    return sendOnStream(
      bytes,
      { shown, isTls: proto === 'tls', caPath, ...(proto === 'unix' ? { path: shown } : parseAddress(shown)) },
      signal,
    );
  }
}

function sendOneByOne(batch: Batch, send: (bytes: Buffer) => Promise<void>, origin: Origin): Promise<void> {
  return sendEach(batch, (message) => send(toRfc5424(message, origin)));
}

function check({
  SINK_SYSLOG_PROTO: proto,
  SINK_SYSLOG_ADDR: address,
  SINK_SYSLOG_CA_CERT_PATH: caPath,
}: SyslogValues): readonly string[] {
  const problems: string[] = [];
  const isPath = address?.startsWith('/') === true;
  if (proto === null && address !== null && !isPath)
    problems.push('Expected `SINK_SYSLOG_PROTO` to be set beside `SINK_SYSLOG_ADDR`, it is not');
  if (proto === 'unix' && !isPath)
    problems.push(`Expected \`SINK_SYSLOG_ADDR\` to be the path of a socket, got "${address ?? ''}"`);
  if (proto !== null && proto !== 'unix' && parseAddress(address ?? '') === undefined)
    problems.push(`Expected \`SINK_SYSLOG_ADDR\` to be \`host:port\`, got "${address ?? ''}"`);
  if (caPath !== null && proto !== 'tls')
    problems.push('Expected `SINK_SYSLOG_CA_CERT_PATH` to go with `SINK_SYSLOG_PROTO=tls`, it does not');
  return problems;
}

export const syslogSink: SinkDefinition<typeof settings> = {
  type: 'syslog',
  settings,
  defaults: { batchEvents: 500, batchBytes: 1024 * 1024, batchAgeMs: 200 },
  check,
  create: (values) => new SyslogSink(values),
};
