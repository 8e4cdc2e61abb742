/**
 * One of several firehoses: reads and publishes while it leads, stands by otherwise. A term is what runs while it
 * leads, from the stored checkpoint on; when another one leads the term is thrown away with what it has read, and the
 * next one begins anew.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, toError } from '@hydrant/shared/foundation/errors';
import type { Health, HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Firehose } from '../firehose.ts';
import type { Lease } from './lease.ts';

export interface FailoverTelemetry {
  /** A person has to act; it is tried again, and said again. */
  leaderCannotBegin(err: Error): void;
  /** What ran while it led did not end well; the next term begins anew all the same. */
  termNotEnded(err: Error): void;
}

export interface FailoverPorts {
  /** Its own: it starts and stops it. */
  readonly lease: Lease;
  /** Makes a firehose that acts only while it holds the lease. Connects nothing. */
  readonly makeTerm: () => Firehose;
  readonly telemetry: FailoverTelemetry;
  readonly clock: Clock;
}

const beginAgainMs = 5_000;

function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}

class Failover implements Firehose {
  readonly name = 'firehose';
  readonly healthChecks: readonly HealthCheck[];
  readonly #ports: FailoverPorts;
  readonly #stopping = new AbortController();
  #term: Firehose;
  #isBegun = false;
  #problem: string | undefined;
  #running: Promise<void> | undefined;

  constructor(ports: FailoverPorts) {
    this.#ports = ports;
    this.#term = ports.makeTerm();
    const ofTerm = this.#term.healthChecks.map(({ name }): HealthCheck => ({
      name,
      check: () => this.#checkTerm(name),
    }));
    this.healthChecks = [{ name: 'lease', check: () => this.#checkLease() }, ...ofTerm];
  }

  start(): Promise<void> {
    this.#ports.lease.start();
    this.#running ??= this.#run(this.#stopping.signal);
    return Promise.resolve();
  }

  /** The lease is held until all is published and saved. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#term.stop(deadline);
    await this.#ports.lease.stop(deadline);
  }

  async #run(stop: AbortSignal): Promise<void> {
    const { clock, lease, makeTerm, telemetry } = this.#ports;
    for (;;) {
      const deposed = await lease.lead(stop);
      if (deposed === undefined) return;
      const ending = AbortSignal.any([stop, deposed]);
      await this.#begin(ending);
      if (this.#problem === undefined) await whenAborted(ending);
      if (stop.aborted) return;
      await this.#term.stop(AbortSignal.abort()).catch((thrown: unknown) => {
        telemetry.termNotEnded(toError(thrown));
      });
      this.#isBegun = false;
      this.#term = makeTerm();
      if (this.#problem !== undefined) await clock.sleep(beginAgainMs, ending);
    }
  }

  async #begin(ending: AbortSignal): Promise<void> {
    try {
      await this.#term.start(ending);
      this.#isBegun = true;
      this.#problem = undefined;
    } catch (thrown) {
      this.#problem = describeError(thrown);
      this.#ports.telemetry.leaderCannotBegin(toError(thrown));
    }
  }

  #checkLease(): Health {
    const { healthCheck, isHeld } = this.#ports.lease;
    const health = healthCheck.check();
    return !isHeld || this.#problem === undefined
      ? health
      : { status: 'fail', detail: `${health.detail ?? ''}; it cannot begin: ${this.#problem}` };
  }

  #checkTerm(name: string): Health {
    const isStandby = !this.#isBegun && !this.#ports.lease.isHeld;
    if (isStandby) return { status: 'pass', detail: 'standby: left to the leader' };
    return (
      this.#term.healthChecks.find((healthCheck) => healthCheck.name === name)?.check() ?? {
        status: 'fail',
        detail: 'not begun',
      }
    );
  }
}

export function createFailover(ports: FailoverPorts): Firehose {
  return new Failover(ports);
}
