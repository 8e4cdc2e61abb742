/**
 * One connection to the stream, whatever becomes of it: the request, the watches beside it (silence, a first line that
 * does not come, frames that find no room, new namespaces), and what its end is called. Where to resume and when to try
 * again is not known here.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import type { LeaderIndex } from '../gap/leader-index.ts';
import type { NomadAddress } from './address.ts';
import { withReceive, type FrameReceiver } from './frame-receiver.ts';
import { watchLiveness } from './liveness.ts';
import type { Namespace, NamespaceList, NamespaceWatch } from './namespaces.ts';
import type { OpenedStream, OpenStream } from './open-stream.ts';
import {
  StreamReader,
  type StreamPosition,
  type StreamReaderOptions,
  type StreamReaderTelemetry,
} from './read-stream.ts';

export interface ConnectionOptions extends StreamReaderOptions {
  readonly livenessMs: number;
  /** How long Nomad may say nothing after its answer. Undefined: as long as later on. */
  readonly firstLineMs: number | undefined;
  readonly unreadMs: number;
}

export interface ConnectionPorts {
  readonly openStream: OpenStream;
  readonly namespaces?: NamespaceWatch | undefined;
  readonly receiver: FrameReceiver;
  readonly leaderIndex: (address: NomadAddress, signal: AbortSignal) => Promise<LeaderIndex | undefined>;
  readonly telemetry: StreamReaderTelemetry;
  readonly clock: Clock;
  /** Of the namespaces that the stream will have, those that the one before lacked. */
  findMissed(known: NamespaceList | undefined): readonly Namespace[];
  onFirstLine(): void;
}

export interface Connection {
  readonly wasOpen: boolean;
  readonly lines: number;
  readonly hasProgressed: boolean;
  readonly err: Error | undefined;
  /** We closed it, because it had no line yet. `err` says so. */
  readonly isUnanswered: boolean;
  /** Namespaces that the stream lacked, for which it was closed. */
  readonly added: readonly Namespace[];
  /** Where it was asked to begin. */
  readonly resumedAt: number | undefined;
  /** From Nomad's answer to the end. */
  readonly openMs: number;
  /** From the last byte to the end. */
  readonly quietMs: number;
}

function seconds(ms: number): string {
  return `${String(ms / 1000)} s`;
}

function silent(address: NomadAddress, limitMs: number, hadLines: boolean): HydrantError {
  const hint = hadLines
    ? ''
    : '; a proxy in between that buffers answers would hold the stream back (nginx: proxy_buffering off)';
  return new HydrantError(
    `Expected a byte from Nomad at ${address.label} within ${seconds(limitMs)}, got none: closed the event stream${hint}`,
    { code: 'nomad-silent', retryable: true },
  );
}

function unanswered(address: NomadAddress, limitMs: number): HydrantError {
  return new HydrantError(
    `Expected a line from Nomad at ${address.label} within ${seconds(limitMs)} of its answer, got none: closed the event stream`,
    { code: 'nomad-silent', retryable: true },
  );
}

function unread(limitMs: number): HydrantError {
  const text = `Expected room in the spool within ${seconds(limitMs)}, there was none: closed the event stream, which Nomad would have to keep for us, to read on when there is`;
  return new HydrantError(text, { code: 'spool-full', retryable: true });
}

/**
 * Calls `onUnread` while frames are taken over for too long. They are not given up: no room means no more, not less.
 */
function watchRoom(receiver: FrameReceiver, clock: Clock, unreadMs: number, onUnread: () => void): FrameReceiver {
  return withReceive(receiver, async (frames, signal) => {
    const timer = clock.after(unreadMs, onUnread);
    try {
      await receiver.receive(frames, signal);
    } finally {
      timer.cancel();
    }
  });
}

/** `index` is what Nomad is asked to begin at. Rejects never; ends early when `stop` aborts. */
export async function connect(
  address: NomadAddress,
  index: () => string,
  position: StreamPosition,
  options: ConnectionOptions,
  ports: ConnectionPorts,
  stop: AbortSignal,
): Promise<Connection> {
  const { clock, namespaces, openStream, telemetry } = ports;
  const { livenessMs, firstLineMs, unreadMs } = options;
  // Whichever aborts first is what ended it.
  const ending = new AbortController();
  const signal = AbortSignal.any([stop, ending.signal]);
  const state = { added: [] as readonly Namespace[], openedMs: undefined as number | undefined, isUnanswered: false };
  const liveness = watchLiveness(clock, livenessMs, () => {
    ending.abort(silent(address, livenessMs, reader.summary.lines > 0));
  });
  let stream: OpenedStream | undefined;
  let noRoom: Error | undefined;
  const receiver = watchRoom(ports.receiver, clock, unreadMs, () => {
    noRoom = unread(unreadMs);
    stream?.close();
  });
  const leaderIndex = (within: AbortSignal): Promise<LeaderIndex | undefined> => ports.leaderIndex(address, within);
  const reader = new StreamReader(
    options,
    {
      address: address.label,
      receiver,
      telemetry,
      clock,
      leaderIndex,
      onFirstLine: () => {
        ports.onFirstLine();
      },
    },
    position,
  );
  const resumedAt = position.index;
  let err: Error | undefined;
  let answering: Timer | undefined;

  async function readOn(): Promise<void> {
    const known = await namespaces?.read(address, signal);
    state.added = ports.findMissed(known);
    if (state.added.length > 0) return;
    stream = await openStream(address, index(), signal);
    state.openedMs = clock.monotonic();
    liveness.touch();
    answering =
      firstLineMs === undefined
        ? undefined
        : clock.after(firstLineMs, () => {
            if (reader.summary.lines > 0) return;
            state.isUnanswered = true;
            ending.abort(unanswered(address, firstLineMs));
          });
    void namespaces?.untilAdded(address, known, signal).then((found) => {
      state.added = found;
      if (found.length > 0) ending.abort(new Error('There are new namespaces'));
    });
    try {
      await reader.run(stream, liveness, signal);
    } finally {
      stream.close();
    }
  }

  try {
    await readOn();
  } catch (thrown) {
    err = noRoom ?? toError(ending.signal.aborted ? ending.signal.reason : thrown);
  } finally {
    answering?.cancel();
    liveness.end();
  }
  const quietMs = liveness.quietMs;
  const openMs = state.openedMs === undefined ? 0 : clock.monotonic() - state.openedMs;
  ending.abort();
  return {
    wasOpen: state.openedMs !== undefined,
    ...reader.summary,
    err,
    isUnanswered: state.isUnanswered,
    added: state.added,
    resumedAt,
    openMs,
    quietMs,
  };
}
