/**
 * `hydrant tail`: Nomad's event stream on a terminal. It reads with the firehose's own source, so it goes on over
 * reconnects and says when something may be missing; it keeps nothing and writes nothing but lines.
 */
import { readLeaderIndex } from '@hydrant/firehose/gap/leader-index';
import { fetchListAt } from '@hydrant/firehose/lists/list-reading';
import { createDenialProbe } from '@hydrant/firehose/source/denial';
import type { Frame } from '@hydrant/firehose/source/scan-frame';
import { createNamespaceWatch, type NamespaceWatchTelemetry } from '@hydrant/firehose/source/namespaces';
import type { NomadAddress } from '@hydrant/firehose/source/address';
import type { NomadAccess } from '@hydrant/firehose/source/nomad-access';
import { createNomadClient } from '@hydrant/firehose/source/nomad-http-client';
import { createStreamOpener, type StreamQuery } from '@hydrant/firehose/source/open-stream';
import type { FrameReceiver } from '@hydrant/firehose/source/frame-receiver';
import { createSource, type SourceTelemetry } from '@hydrant/firehose/source/source';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError } from '@hydrant/shared/foundation/errors';
import type { LineWriter } from '@hydrant/shared/runtime/line-writer';
import { describeEvent, formatEventLine } from './describe-event.ts';
import type { TailRequest } from './tail-request.ts';

export interface TailOptions extends StreamQuery {
  readonly addresses: readonly NomadAddress[];
  readonly access: NomadAccess;
}

export interface TailPorts {
  readonly out: LineWriter;
  readonly withColours: boolean;
  /** What is not an event: connected, ended, a gap. */
  readonly note: (text: string) => void;
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** How often it looks whether anybody still reads. */
const lookMs = 500;

function makeJobFilter(patterns: readonly string[]): (jobId: string | undefined) => boolean {
  if (patterns.length === 0) return () => true;
  const matchers = patterns.map(
    (pattern) =>
      new RegExp(
        `^${pattern
          .split('*')
          .map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/gu, '\\$&'))
          .join('.*')}$`,
        'u',
      ),
  );
  return (jobId) => jobId !== undefined && matchers.some((matcher) => matcher.test(jobId));
}

/** After a reconnect Nomad sends the frames of the last index again. */
class Repeats {
  #index = 0;
  #seen = 0;
  #skip = 0;

  streamOpened(): void {
    this.#skip = this.#seen;
  }

  isRepeat({ index }: Frame): boolean {
    if (index !== this.#index) {
      this.#index = index;
      this.#seen = 0;
      this.#skip = 0;
    }
    if (this.#skip > 0) {
      this.#skip -= 1;
      return true;
    }
    this.#seen += 1;
    return false;
  }
}

function makeReceiver(request: TailRequest, { out, withColours, note, clock }: TailPorts): FrameReceiver {
  const isWanted = makeJobFilter(request.jobs);
  const repeats = new Repeats();
  const format = (bytes: Buffer): string =>
    request.isJson
      ? bytes.toString()
      : formatEventLine(describeEvent(JSON.parse(bytes.toString())), { nowMs: clock.now(), withColours });
  return {
    streamOpened: () => {
      repeats.streamOpened();
    },
    beginAfter: () => undefined,
    rereadFrom: () => Promise.resolve(),
    gapDisproved: () => {
      note('nothing was missing: what had been asked for came late');
    },
    gapFound: ({ reason }) => {
      note(`something may be missing here (${reason})`);
    },
    async receive(frames) {
      const lines = frames
        .filter((frame) => !repeats.isRepeat(frame))
        .flatMap(({ line, events }) =>
          events.filter(({ head }) => isWanted(head?.jobId)).map(({ start, end }) => format(line.subarray(start, end))),
        );
      // n.b. Without `--json` each part of a line is visible text already, and the colours are ours.
      await (request.isJson ? out.write(lines) : out.writePainted(lines));
    },
  };
}

function makeTelemetry(note: TailPorts['note']): SourceTelemetry & NamespaceWatchTelemetry {
  const quiet = (): void => undefined;
  return {
    bytesReceived: quiet,
    framesReceived: quiet,
    streamLags: quiet,
    streamConnected: ({ address }) => {
      note(`reading from ${address}`);
    },
    streamEnded: ({ address, retryMs, err }) => {
      note(
        `${address}: ${err === undefined ? 'the stream ended' : describeError(err)}; trying again in ${(retryMs / 1000).toFixed(1)} s`,
      );
    },
    streamDenied: ({ reason, isRepeat }) => {
      if (!isRepeat) note(`Nomad refuses the stream: ${reason}`);
    },
    streamUnanswered: ({ address, isRepeat }) => {
      if (!isRepeat)
        note(
          `${address} says nothing, though the token may read: a Nomad up to 1.1.0 without events, or a proxy that buffers; waiting longer`,
        );
    },
    namespacesAdded: ({ namespaces }) => {
      note(`new namespaces: ${namespaces.join(', ')}`);
    },
    namespaceWatchFailed: quiet,
    lineMalformed: ({ err }) => {
      note(`a line that is no frame: ${describeError(err)}`);
    },
    eventMalformed: quiet,
  };
}

/** Resolves when `signal` aborts, or when nobody reads its output any more. */
export async function tail(options: TailOptions, request: TailRequest, ports: TailPorts): Promise<void> {
  const { clock, note, out, signal } = ports;
  const query = {
    ...options,
    topics: request.topics ?? options.topics,
    namespace: request.namespace ?? options.namespace,
  };
  const client = createNomadClient(options.access);
  const telemetry = makeTelemetry(note);
  const source = createSource(
    { addresses: options.addresses, start: request.withOldest ? 'oldest' : 'now' },
    {
      openStream: createStreamOpener(client, query),
      probeDenial: createDenialProbe(client, query, clock),
      namespaces: query.namespace === '*' ? createNamespaceWatch(query, { client, telemetry, clock }) : undefined,
      receiver: makeReceiver(request, ports),
      leaderIndex: (address, within) =>
        readLeaderIndex(query, (path) => fetchListAt(client, address, path, within), within),
      telemetry,
      clock,
    },
  );
  source.start(undefined);
  while (!signal.aborted && !out.isClosed) await clock.sleep(lookMs, signal);
  await source.stop();
}
