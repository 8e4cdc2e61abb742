/**
 * Keeps one event stream open for as long as it runs. Every end means "disconnected, reason unknown": the next address,
 * after a jittered wait, resumes at the newest frame received, which Nomad then sends again.
 *
 * States: connecting (no line yet) → reading (a line came) → waiting (ended, backing off) → connecting.
 */
import { createBackoff, type Backoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import type { Health, HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Checkpoint } from '../checkpoint/checkpoint-store.ts';
import type { LeaderIndex } from '../gap/leader-index.ts';
import type { NomadAddress } from './address.ts';
import { connect, type Connection } from './connection.ts';
import type { Denial, ProbeDenial } from './denial.ts';
import { withReceive, type FrameReceiver } from './frame-receiver.ts';
import { TimeoutGuess, type LikelyTimeout } from './likely-timeout.ts';
import { missedNamespaces, type Namespace, type NamespaceList, type NamespaceWatch } from './namespaces.ts';
import type { OpenStream } from './open-stream.ts';
import { createRecentIndexes } from './recent-indexes.ts';
import { createStreamPosition, type StreamReaderTelemetry } from './read-stream.ts';

export interface SourceTelemetry extends StreamReaderTelemetry {
  streamConnected(stream: { readonly address: string; readonly resumedAt: number | undefined }): void;
  /**
   * After an end without a line, which is how Nomad refuses. `isRepeat`: for the reason told last, and no stream has
   * been read since.
   */
  streamDenied(denial: Denial & { readonly address: string; readonly isRepeat: boolean }): void;
  /** We closed a stream that had no line yet, though no list is refused: from now on we wait longer. */
  streamUnanswered(stream: {
    readonly address: string;
    readonly waitedMs: number;
    readonly nextMs: number;
    readonly isRepeat: boolean;
  }): void;
  /**
   * The stream was closed to be opened again with these. It resumes at a frame from before they were made, if that is
   * not too long ago.
   */
  namespacesAdded(added: {
    readonly address: string;
    readonly namespaces: readonly string[];
    readonly resumeAt: number | undefined;
  }): void;
  streamEnded(end: {
    readonly address: string;
    readonly wasOpen: boolean;
    readonly hadLines: boolean;
    readonly retryMs: number;
    readonly err: Error | undefined;
    readonly likelyTimeout: LikelyTimeout | undefined;
  }): void;
}

export interface SourceOptions {
  readonly addresses: readonly NomadAddress[];
  /**
   * Without a checkpoint: everything Nomad still has, or only what comes from now on (after a snapshot, which is not
   * made here).
   */
  readonly start: 'oldest' | 'now' | 'snapshot';
  readonly maxLineBytes?: number;
  readonly livenessMs?: number;
  readonly firstFrameMs?: number;
  readonly silenceMs?: number;
  readonly firstLineMs?: number;
  readonly catchUpMs?: number;
  /**
   * How long the socket may be left unread while there is no room for what was read. Nomad itself gives up after 40 s,
   * older ones never.
   */
  readonly unreadMs?: number;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
}

export interface SourcePorts {
  readonly openStream: OpenStream;
  readonly probeDenial: ProbeDenial;
  /** Undefined: the stream asks for one namespace. */
  readonly namespaces?: NamespaceWatch | undefined;
  readonly receiver: FrameReceiver;
  /** What the leader's lists tell, asked at that address; undefined when none can be read. */
  readonly leaderIndex: (address: NomadAddress, signal: AbortSignal) => Promise<LeaderIndex | undefined>;
  readonly telemetry: SourceTelemetry;
  readonly clock: Clock;
}

export interface Source {
  readonly healthCheck: HealthCheck;
  /** The address that is or was last read from. */
  readonly address: NomadAddress;
  /** Whether the stream is open and has said something. */
  readonly isReading: boolean;
  /** Goes into the checkpoint. */
  readonly namespacesAt: number | undefined;
  /** Begins to read, at the checkpoint when there is one. */
  start(checkpoint: Omit<Checkpoint, 'filter'> | undefined): void;
  /** Resolves when nothing will be handed over any more. Safe without `start` and twice. */
  stop(): Promise<void>;
}

const unansweredReason = 'no line came in time';

/** Beyond any index, and the largest that Nomad can parse: the stream begins at its newest frame. */
const newestIndex = '9223372036854775807';
/** A connection that lasted this long was a good one. */
const goodConnectionMs = 60_000;
/** Of one that ended without an error, so long is enough. */
const wellMs = 1_000;

const defaults = {
  maxLineBytes: 64 * 1024 * 1024,
  livenessMs: 75_000,
  firstLineMs: 10_000,
  firstFrameMs: 1_000,
  silenceMs: 5_000,
  catchUpMs: 60_000,
  unreadMs: 30_000,
  retryMinMs: 250,
  retryMaxMs: 30_000,
};

/** Nomad says so by an answer without a line; up to 1.11.1 by a status that does not name what is lacking. */
function isRefused({ wasOpen, lines, err }: Connection): boolean {
  return wasOpen ? lines === 0 && err === undefined : errorCode(err) === 'nomad-denied';
}

/** It had been read, and neither we nor what it sent made an end of it. */
function isEndedByOthers({ wasOpen, lines, err }: Connection): boolean {
  return wasOpen && lines > 0 && (err === undefined || errorCode(err) === 'nomad-unreachable');
}

class NomadSource implements Source {
  readonly healthCheck: HealthCheck = { name: 'nomad', check: () => this.#health };
  namespacesAt: number | undefined;
  readonly #options: SourceOptions & typeof defaults;
  readonly #ports: SourcePorts;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  readonly #position = createStreamPosition();
  readonly #timeoutGuess = new TimeoutGuess();
  readonly #recent = createRecentIndexes();
  #running: Promise<void> | undefined;
  #health: Health = { status: 'fail', detail: 'not connected yet' };
  #address: NomadAddress;
  /** No list is refused: that Nomad says nothing is no refusal. */
  #isPatient = false;
  /** Why Nomad refused, as told last. */
  #deniedFor: string | undefined;

  constructor(options: SourceOptions, ports: SourcePorts) {
    const [first] = options.addresses;
    if (first === undefined)
      throw new HydrantError('Expected NOMAD_ADDR to name at least one address', {
        code: 'config-invalid',
        retryable: false,
      });
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
    this.#address = first;
    this.#backoff = createBackoff({ minMs: this.#options.retryMinMs, maxMs: this.#options.retryMaxMs });
  }

  get address(): NomadAddress {
    return this.#address;
  }

  get isReading(): boolean {
    return this.#health.status === 'pass';
  }

  start(checkpoint: Omit<Checkpoint, 'filter'> | undefined): void {
    const readFrom = checkpoint?.source ?? '';
    this.#position.index = checkpoint?.index;
    this.namespacesAt = checkpoint?.namespacesAt;
    this.#position.elsewhere =
      readFrom === '' || this.#options.addresses.some(({ label }) => label === readFrom) ? undefined : readFrom;
    this.#running ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, telemetry } = this.#ports;
    let turn = 0;
    while (!signal.aborted) {
      this.#address = this.#options.addresses[turn % this.#options.addresses.length] ?? this.#address;
      const startedMs = clock.monotonic();
      const connection = await this.#connect(this.#address, signal);
      if (signal.aborted) break;
      if (connection.hasProgressed || clock.monotonic() - startedMs > goodConnectionMs) this.#backoff.reset();
      if (connection.added.length > 0) {
        await this.#goBackFor(connection);
        continue;
      }
      turn += 1;
      const retryMs = this.#retryMs(connection);
      const { wasOpen, lines, err } = connection;
      this.#health = {
        status: 'fail',
        detail: `${this.#address.label}: ${err === undefined ? 'stream ended' : describeError(err)}`,
      };
      const likelyTimeout = isEndedByOthers(connection) ? this.#timeoutGuess.ended(connection) : undefined;
      telemetry.streamEnded({
        address: this.#address.label,
        wasOpen,
        hadLines: lines > 0,
        retryMs,
        err,
        likelyTimeout,
      });
      if (isRefused(connection) || connection.isUnanswered) await this.#explainDenial(connection, signal);
      await clock.sleep(retryMs, signal);
    }
    this.#health = { status: 'fail', detail: 'stopped' };
  }

  /**
   * A stream that was well until it ended is opened again at once, though never faster than it lived: meanwhile Nomad
   * forgets.
   */
  #retryMs(connection: Connection): number {
    const wasWell = isEndedByOthers(connection) && connection.openMs >= wellMs;
    if (wasWell) this.#backoff.reset();
    return wasWell && connection.err === undefined ? 0 : this.#backoff.next();
  }

  /**
   * What happened in a namespace between its making and now was not in the stream: it is read from there on, the rest a
   * second time. When it was made is not known of one that may have been there before the stream was opened. A
   * beginning that was not received shows as a gap.
   */
  async #goBackFor({ added, resumedAt }: Connection): Promise<void> {
    const { receiver, telemetry } = this.#ports;
    const madeAt = added.reduce(
      (oldest, { createIndex }) => Math.min(oldest, createIndex > 0 ? createIndex : (resumedAt ?? 0)),
      Number.POSITIVE_INFINITY,
    );
    const { index } = this.#position;
    if (index !== undefined && madeAt > 0 && madeAt < index) {
      this.#position.index = this.#recent.atOrBefore(madeAt) ?? madeAt;
      await receiver.rereadFrom(this.#position.index);
    }
    this.#count(added);
    telemetry.namespacesAdded({
      address: this.#address.label,
      namespaces: added.map(({ name }) => name),
      resumeAt: this.#position.index,
    });
  }

  /** From now on the checkpoint waits for what they lack, or nothing of them can be missing. */
  #count(namespaces: readonly Namespace[]): void {
    const highest = namespaces.reduce(
      (newest, { createIndex }) => Math.max(newest, createIndex),
      this.namespacesAt ?? 0,
    );
    if (highest > 0) this.namespacesAt = highest;
  }

  /**
   * Before a stream is opened, with the namespaces it will have: those that the one before lacked, without anybody
   * having noticed.
   */
  #findMissed(known: NamespaceList | undefined): readonly Namespace[] {
    const { index } = this.#position;
    if (known === undefined) return [];
    const missed =
      index === undefined || this.namespacesAt === undefined ? [] : missedNamespaces(known, this.namespacesAt, index);
    if (missed.length === 0) this.#count(known.namespaces);
    return missed;
  }

  async #explainDenial({ isUnanswered }: Connection, signal: AbortSignal): Promise<void> {
    const { probeDenial, telemetry } = this.#ports;
    const { label } = this.#address;
    const { firstLineMs, livenessMs } = this.#options;
    const denial = await probeDenial(this.#address, signal).catch((thrown: unknown): Denial => ({
      cause: 'unknown',
      reason: describeError(thrown),
    }));
    if (signal.aborted) return;
    this.#isPatient = isUnanswered && denial.cause === 'lists-allowed';
    if (isUnanswered && denial.cause !== 'refused') {
      telemetry.streamUnanswered({
        address: label,
        waitedMs: firstLineMs,
        nextMs: this.#isPatient ? livenessMs : firstLineMs,
        isRepeat: this.#deniedFor === unansweredReason,
      });
      this.#deniedFor = unansweredReason;
      return;
    }
    this.#health = { status: 'fail', detail: `${label}: refused: ${denial.reason}` };
    telemetry.streamDenied({ ...denial, address: label, isRepeat: denial.reason === this.#deniedFor });
    this.#deniedFor = denial.reason;
  }

  /** Remembers the indexes of what was taken over. */
  #makeReceiver(): FrameReceiver {
    const { receiver } = this.#ports;
    return withReceive(receiver, async (frames, signal) => {
      await receiver.receive(frames, signal);
      for (const { index } of frames) this.#recent.add(index);
    });
  }

  #connect(address: NomadAddress, signal: AbortSignal): Promise<Connection> {
    const { telemetry } = this.#ports;
    const options = { ...this.#options, firstLineMs: this.#isPatient ? undefined : this.#options.firstLineMs };
    return connect(
      address,
      () => this.#startIndex(),
      this.#position,
      options,
      {
        ...this.#ports,
        receiver: this.#makeReceiver(),
        findMissed: (known) => this.#findMissed(known),
        onFirstLine: () => {
          this.#deniedFor = undefined;
          this.#health = { status: 'pass', detail: `reading from ${address.label}` };
          telemetry.streamConnected({ address: address.label, resumedAt: this.#position.index });
        },
      },
      signal,
    );
  }

  #startIndex(): string {
    if (this.#position.index !== undefined) return String(this.#position.index);
    return this.#options.start === 'oldest' ? '0' : newestIndex;
  }
}

export function createSource(options: SourceOptions, ports: SourcePorts): Source {
  return new NomadSource(options, ports);
}
