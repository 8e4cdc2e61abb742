/**
 * Asks for the lease again and again, and knows at each moment whether it is held. The states are those of
 * decide-lease.ts; this is the shell around it. It asks on without waiting for a reply that is late: what counts is
 * when the granted request was sent.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { describeError, toError } from '@hydrant/shared/foundation/errors';
import type { Health, HealthCheck } from '@hydrant/shared/runtime/admin/health';
import { Wakeups } from '@hydrant/shared/spool/wakeups';
import {
  decideLease,
  isWithin,
  type LeaseChange,
  type LeaseNews,
  type LeaseState,
  type Moment,
} from './decide-lease.ts';
import type { LeaseStore } from './lease-store.ts';

export interface LeaseTelemetry {
  /** `token`: of this lease. `wasPaused`: it led before and nobody else did since, as far as it knows. */
  leaseGranted(granted: { readonly holder: string; readonly token: string; readonly wasPaused: boolean }): void;
  /** It stands by for `leader`. */
  leaseFollowed(followed: { readonly holder: string; readonly leader: string }): void;
  /** It ended before it could be renewed; `err` tells why the last attempt failed, if it failed. */
  leaseEnded(ended: { readonly holder: string; readonly err: Error | undefined }): void;
  /** Another one has it. */
  leaseLost(lost: { readonly holder: string; readonly leader: string }): void;
  /** The store did not say whose it is; said once until it does. */
  leaseUnknown(unknown: { readonly place: string; readonly err: Error }): void;
  /** At shutdown. `err`: it could not be given back, and ends by itself. */
  leaseReleased(released: { readonly holder: string; readonly err: Error | undefined }): void;
  watchLease(gauges: { readonly isHeld: () => number }): void;
}

export interface LeaseOptions {
  /** Names this process to people and differs from that of any other. */
  readonly holder: string;
  readonly lastsMs?: number;
  readonly renewEveryMs?: number;
  readonly lookEveryMs?: number;
}

export interface LeasePorts {
  readonly store: LeaseStore;
  readonly telemetry: LeaseTelemetry;
  readonly clock: Clock;
}

/** What those need to know who may act only while the lease is held. */
export interface HeldLease {
  /**
   * Asks the clock, not a timer: true at most until the lease ends, also right after the process was stopped for a
   * while.
   */
  readonly isHeld: boolean;
  /** The fencing token, undefined while the lease is not held. */
  readonly token: string | undefined;
  /** Resolves when it is held, or `signal` aborts (look afterwards). */
  untilHeld(signal: AbortSignal): Promise<void>;
}

const defaults = { lastsMs: 3_000, renewEveryMs: 1_000, lookEveryMs: 500 };
const releaseMs = 1_000;
/** The first attempts may only be ahead of the connection that is being made. */
const worthSaying = 3;

export class Lease implements HeldLease {
  readonly healthCheck: HealthCheck = { name: 'lease', check: () => this.#health() };
  readonly #options: LeaseOptions & typeof defaults;
  readonly #ports: LeasePorts;
  readonly #changes = new Wakeups();
  readonly #stopping = new AbortController();
  #state: LeaseState = { role: 'standby', leader: undefined };
  /** Aborts when another one leads. */
  #leadership = new AbortController();
  #running: Promise<void> | undefined;
  #expiry: Timer | undefined;
  #failure: Error | undefined;
  /** How often in a row nobody answered. */
  #failures = 0;

  constructor(options: LeaseOptions, ports: LeasePorts) {
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
    ports.telemetry.watchLease({ isHeld: () => (this.isHeld ? 1 : 0) });
  }

  get isHeld(): boolean {
    return this.#state.role === 'leader' && isWithin(this.#state.since, this.#now(), this.#options.lastsMs);
  }

  get token(): string | undefined {
    return this.#state.role === 'leader' && this.isHeld ? this.#state.token : undefined;
  }

  async untilHeld(signal: AbortSignal): Promise<void> {
    while (!this.isHeld && !signal.aborted) await this.#changes.wait(signal);
  }

  /**
   * Waits until this process leads, and gives the signal that aborts when another one does; undefined when `signal`
   * aborts before.
   */
  async lead(signal: AbortSignal): Promise<AbortSignal | undefined> {
    while (!signal.aborted) {
      if (this.#state.role === 'leader') return this.#leadership.signal;
      await this.#changes.wait(signal);
    }
    return undefined;
  }

  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  /** Gives the lease back, so that another one need not wait for its end. Safe without `start` and twice. */
  async stop(deadline: AbortSignal): Promise<void> {
    const { clock, store, telemetry } = this.#ports;
    const { holder } = this.#options;
    const isFirst = !this.#stopping.signal.aborted;
    this.#stopping.abort();
    await this.#running;
    this.#expiry?.cancel();
    if (!isFirst || this.#state.role === 'standby') return;
    const limit = new AbortController();
    const onDeadline = AbortSignal.any([deadline, limit.signal]);
    let err: Error | undefined = new Error(`Expected ${store.description} to be released in time, it was not`);
    await Promise.race([
      store.release(holder).then(
        () => {
          err = undefined;
        },
        (thrown: unknown) => {
          err = toError(thrown);
        },
      ),
      clock.sleep(releaseMs, onDeadline),
    ]);
    limit.abort();
    this.#state = { role: 'standby', leader: undefined };
    telemetry.leaseReleased({ holder, err });
  }

  async #run(stop: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    const { lookEveryMs, renewEveryMs } = this.#options;
    while (!stop.aborted) {
      const asked = this.#ask();
      await Promise.race([asked, clock.sleep(lookEveryMs, stop)]);
      await clock.sleep(this.#state.role === 'leader' ? renewEveryMs : lookEveryMs, stop);
    }
  }

  async #ask(): Promise<void> {
    const { store, telemetry } = this.#ports;
    const { holder, lastsMs } = this.#options;
    const askedAt = this.#now();
    try {
      const reply = await store.take(holder, lastsMs);
      this.#failure = undefined;
      this.#failures = 0;
      this.#take(
        reply.outcome === 'granted' ? { kind: 'granted', token: reply.token, askedAt } : { kind: 'held', by: reply.by },
      );
    } catch (thrown) {
      const err = toError(thrown);
      this.#failure = err;
      this.#failures += 1;
      this.#take({ kind: 'silence' });
      if (this.#failures === worthSaying && this.#state.role === 'standby')
        telemetry.leaseUnknown({ place: store.description, err });
    }
  }

  #take(news: LeaseNews): void {
    if (this.#stopping.signal.aborted) return;
    const { clock } = this.#ports;
    const { lastsMs } = this.#options;
    const { state, change } = decideLease(this.#state, news, this.#now(), lastsMs);
    this.#state = state;
    if (change !== undefined) this.#tell(change, state);
    this.#expiry?.cancel();
    if (state.role === 'leader') {
      const leftMs = lastsMs - (clock.monotonic() - state.since.monotonicMs);
      this.#expiry = clock.after(Math.max(0, leftMs), () => {
        this.#take({ kind: 'silence' });
      });
    }
    if (change !== undefined) this.#changes.wake();
  }

  #tell(change: LeaseChange, state: LeaseState): void {
    const { telemetry } = this.#ports;
    const { holder } = this.#options;
    if (change === 'leads') this.#leadership = new AbortController();
    if (state.role === 'leader')
      telemetry.leaseGranted({ holder, token: state.token, wasPaused: change === 'resumes' });
    if (change === 'pauses') telemetry.leaseEnded({ holder, err: this.#failure });
    if (state.role !== 'standby' || state.leader === undefined) return;
    if (change === 'follows') telemetry.leaseFollowed({ holder, leader: state.leader });
    if (change === 'deposed') {
      telemetry.leaseLost({ holder, leader: state.leader });
      this.#leadership.abort();
    }
  }

  #now(): Moment {
    const { clock } = this.#ports;
    return { monotonicMs: clock.monotonic(), wallMs: clock.now() };
  }

  #health(): Health {
    const { holder } = this.#options;
    const reason =
      this.#failure === undefined ? 'nobody has said yet whose the lease is' : describeError(this.#failure);
    if (this.#state.role === 'leader' && this.isHeld) return { status: 'pass', detail: `leader: ${holder}` };
    if (this.#state.role !== 'standby')
      return {
        status: 'fail',
        detail: `${holder} led and could not renew the lease in time; publishing waits for it, reading goes on: ${reason}`,
      };
    if (this.#failure === undefined && this.#state.leader !== undefined)
      return { status: 'pass', detail: `standby: ${holder}, the leader is ${this.#state.leader}` };
    return { status: 'fail', detail: `standby: ${holder} cannot take over: ${reason}` };
  }
}
