/** What `/readyz` says of a destination, from what is known of tries and of its outages. Decides nothing else. */
import { formatDuration } from '../foundation/durations.ts';
import type { Health } from '../runtime/admin/health.ts';
import type { Outage } from './outage-watch.ts';

/** One failure is an incident, so many in a row are an outage. */
const failuresUntilUnhealthy = 3;
/**
 * A message that is refused says nothing against the destination; when it refuses everything, something is wrong with
 * the settings or with it. More than a batch can be split into without that one part is taken.
 */
const refusalsUntilUnhealthy = 20;

export class DeliveryHealth {
  #connectError: string | undefined = 'Not connected yet';
  #outage: Outage | undefined;
  #probed: string | undefined;
  #failures = 0;
  #refusals = 0;
  #last = '';

  /** Undefined: it is connected. */
  connecting(error: string | undefined): void {
    this.#connectError = error;
  }

  /** The queue is left alone; undefined: no more. */
  paused(outage: Outage | undefined): void {
    this.#outage = outage;
    this.#probed = undefined;
  }

  /** What the health check said while the queue is left alone. */
  probeFailed(reason: string): void {
    this.#probed = reason;
  }

  taken(): void {
    this.#failures = 0;
    this.#refusals = 0;
  }

  refused(reason: string): void {
    this.#failures = 0;
    this.#refusals += 1;
    this.#last = reason;
  }

  failed(reason: string): void {
    this.#failures += 1;
    this.#last = reason;
  }

  /** `aside`: messages that fail while others are taken. */
  check(aside: number): Health {
    if (this.#outage !== undefined) {
      const downFor = formatDuration(Math.round(this.#outage.downMs));
      const probed = this.#probed === undefined ? '' : `; asked since: ${this.#probed}`;
      return {
        status: 'fail',
        detail: `Down for ${downFor}, so its queue is left alone until it answers: ${this.#connectError ?? this.#outage.reason}${probed}`,
      };
    }
    if (this.#connectError !== undefined) return { status: 'fail', detail: this.#connectError };
    if (this.#failures >= failuresUntilUnhealthy)
      return { status: 'fail', detail: `${String(this.#failures)} tries in a row failed: ${this.#last}` };
    if (this.#refusals >= refusalsUntilUnhealthy)
      return {
        status: 'fail',
        detail: `${String(this.#refusals)} tries in a row were refused for good and nothing was taken, so messages go to the dead letters: ${this.#last}`,
      };
    return aside === 0
      ? { status: 'pass' }
      : { status: 'pass', detail: `Set aside, as they fail while others are taken: ${String(aside)}` };
  }
}
