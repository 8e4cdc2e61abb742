/**
 * Starts components in order and stops those that were started in reverse. Knows no process and no signals.
 */
import { systemClock } from '../foundation/clock.ts';
import { describeError, toError } from '../foundation/errors.ts';
import type { Component } from './component.ts';
import type { Logger } from './telemetry/logger.ts';

export interface Lifecycle {
  /** When one fails, those before it are stopped again and the failure is thrown. */
  start(signal: AbortSignal): Promise<void>;
  /** Goes on after a failure; resolves to the failures. Safe to call twice. */
  stop(deadline: AbortSignal): Promise<readonly Error[]>;
}

export function createLifecycle(components: readonly Component[], log: Logger): Lifecycle {
  const started: Component[] = [];

  async function stop(deadline: AbortSignal): Promise<readonly Error[]> {
    const failures: Error[] = [];
    for (let component = started.pop(); component !== undefined; component = started.pop()) {
      try {
        await withDeadline(component, deadline);
        log.debug({ component: component.name }, 'Component stopped');
      } catch (error) {
        failures.push(new Error(`${component.name}: ${describeError(error)}`, { cause: error }));
      }
    }
    return failures;
  }

  return {
    stop,
    async start(signal) {
      for (const component of components) {
        if (signal.aborted) return;
        started.push(component);
        try {
          await component.start(signal);
        } catch (error) {
          await stop(AbortSignal.abort());
          throw toError(error);
        }
      }
    },
  };
}

/** A component has until the deadline, and then the moment it takes to notice; whoever hangs longer is abandoned and named. */
async function withDeadline(component: Component, deadline: AbortSignal): Promise<void> {
  const stopping = component.stop(deadline);
  const abandoned = new Promise<never>((_resolve, reject) => {
    const giveUp = (): void => {
      const noticeMs = 500;
      void systemClock.sleep(noticeMs).then(() => { reject(new Error('it did not stop before the deadline and was abandoned')); });
    };
    if (deadline.aborted) giveUp();
    else deadline.addEventListener('abort', giveUp, { once: true });
  });
  await Promise.race([stopping, abandoned]);
}
