/**
 * Keeps one event stream open for as long as it runs. Every end means "disconnected, reason unknown": the next address, after a jittered
 * wait, resumes at the newest frame received, which Nomad then sends again.
 *
 * States: connecting (no line yet) → reading (a line came) → waiting (ended, backing off) → connecting.
 */
import { createBackoff, type Backoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, HydrantError, toError } from '@hydrant/shared/foundation/errors';
import type { Health, HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { NomadAddress } from './address.ts';
import { watchLiveness } from './liveness.ts';
import type { OpenStream } from './open.ts';
import { StreamSession, type FrameReceiver, type SessionTelemetry, type StreamPosition } from './session.ts';

export interface SourceTelemetry extends SessionTelemetry {
  streamConnected(stream: { readonly address: string; readonly resumedAt: number | undefined }): void;
  /** `hadLines: false` after a 200 is how Nomad refuses. */
  streamEnded(end: { readonly address: string; readonly wasOpen: boolean; readonly hadLines: boolean; readonly retryMs: number; readonly err: Error | undefined }): void;
}

export interface SourceOptions {
  readonly addresses: readonly NomadAddress[];
  /** Without a checkpoint: everything Nomad still has, or only what comes from now on. */
  readonly start: 'oldest' | 'now';
  readonly maxLineBytes?: number;
  readonly livenessMs?: number;
  readonly firstFrameMs?: number;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
}

export interface SourcePorts {
  readonly openStream: OpenStream;
  readonly receiver: FrameReceiver;
  readonly telemetry: SourceTelemetry;
  readonly clock: Clock;
}

export interface Source {
  readonly healthCheck: HealthCheck;
  /** The address that is or was last read from. */
  readonly address: string;
  /** Begins to read, after the frame of that index when there is a checkpoint. */
  start(checkpoint: { readonly index: number | undefined; readonly isFilterChanged: boolean }): void;
  /** Resolves when nothing will be handed over any more. Safe without `start` and twice. */
  stop(): Promise<void>;
}

/** Beyond any index, and the largest that Nomad can parse: the stream begins at its newest frame. */
const newestIndex = '9223372036854775807';
/** A connection that lasted this long was a good one. */
const goodConnectionMs = 60_000;

const defaults = { maxLineBytes: 64 * 1024 * 1024, livenessMs: 75_000, firstFrameMs: 1_000, retryMinMs: 250, retryMaxMs: 30_000 };

interface Connection {
  readonly wasOpen: boolean;
  readonly lines: number;
  readonly hasProgressed: boolean;
  readonly err: Error | undefined;
}

class NomadSource implements Source {
  readonly healthCheck: HealthCheck = { name: 'nomad', check: () => this.#health };
  readonly #options: SourceOptions & typeof defaults;
  readonly #ports: SourcePorts;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  readonly #position: StreamPosition = { index: undefined, isFilterChanged: false, rereadAfter: undefined };
  #running: Promise<void> | undefined;
  #health: Health = { status: 'fail', detail: 'not connected yet' };
  #address: NomadAddress;

  constructor(options: SourceOptions, ports: SourcePorts) {
    const [first] = options.addresses;
    if (first === undefined) throw new HydrantError('Expected NOMAD_ADDR to name at least one address', { code: 'config-invalid', retryable: false });
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
    this.#address = first;
    this.#backoff = createBackoff({ minMs: this.#options.retryMinMs, maxMs: this.#options.retryMaxMs });
  }

  get address(): string {
    return this.#address.label;
  }

  start(checkpoint: { readonly index: number | undefined; readonly isFilterChanged: boolean }): void {
    Object.assign(this.#position, checkpoint);
    this.#running ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, telemetry } = this.#ports;
    for (let turn = 0; !signal.aborted; turn += 1) {
      this.#address = this.#options.addresses[turn % this.#options.addresses.length] ?? this.#address;
      const startedMs = clock.monotonic();
      const connection = await this.#connectOnce(this.#address, signal);
      if (signal.aborted) break;
      if (connection.hasProgressed || clock.monotonic() - startedMs > goodConnectionMs) this.#backoff.reset();
      const retryMs = this.#backoff.next();
      const { wasOpen, err } = connection;
      this.#health = { status: 'fail', detail: `${this.#address.label}: ${err === undefined ? 'stream ended' : describeError(err)}` };
      telemetry.streamEnded({ address: this.#address.label, wasOpen, hadLines: connection.lines > 0, retryMs, err });
      await clock.sleep(retryMs, signal);
    }
    this.#health = { status: 'fail', detail: 'stopped' };
  }

  /** One connection, whatever becomes of it. */
  async #connectOnce(address: NomadAddress, stop: AbortSignal): Promise<Connection> {
    const { clock, openStream, receiver, telemetry } = this.#ports;
    const { livenessMs } = this.#options;
    const silence = new AbortController();
    const signal = AbortSignal.any([stop, silence.signal]);
    const liveness = watchLiveness(clock, livenessMs, () => {
      const text = `Expected a byte from Nomad at ${address.label} within ${String(livenessMs / 1000)} s, got none`;
      silence.abort(new HydrantError(text, { code: 'nomad-silent', retryable: true }));
    });
    const onFirstLine = (): void => {
      this.#health = { status: 'pass', detail: `reading from ${address.label}` };
      telemetry.streamConnected({ address: address.label, resumedAt: this.#position.index });
    };
    const session = new StreamSession(this.#options, { receiver, telemetry, clock, onFirstLine }, this.#position);
    let wasOpen = false;
    let err: Error | undefined;
    try {
      const stream = await openStream(address, this.#startIndex(), signal);
      wasOpen = true;
      try {
        await session.run(stream, liveness, signal);
      } finally {
        await stream.close();
      }
    } catch (thrown) {
      err = toError(silence.signal.aborted ? silence.signal.reason : thrown);
    } finally {
      liveness.end();
    }
    return { wasOpen, ...session.summary, err };
  }

  #startIndex(): string {
    if (this.#position.index !== undefined) return String(this.#position.index);
    return this.#options.start === 'now' ? newestIndex : '0';
  }
}

export function createSource(options: SourceOptions, ports: SourcePorts): Source {
  return new NomadSource(options, ports);
}
