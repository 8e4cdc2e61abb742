/**
 * Starts components in order and stops those that were started in reverse. Knows no process and no signals.
 */
import type { Clock } from '../foundation/clock.ts';
import { describeError, toError } from '../foundation/errors.ts';
import type { Component } from './component.ts';
import type { Logger } from './telemetry/logger.ts';

export interface LifecycleOptions {
  /** In the order of starting. */
  readonly components: readonly Component[];
  /** Within it `stop` resolves, whatever the components do. */
  readonly stopTimeoutMs: number;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface Lifecycle {
  /**
   * When one component fails, those before it are stopped again and the failure is thrown. Once `signal` aborts, no
   * other component is started and the call resolves; who aborted it calls `stop`.
   */
  start(signal: AbortSignal): Promise<void>;
  /**
   * Waits for a running `start`, goes on after a failure, resolves to the failures. Called again, it gives the same
   * promise.
   */
  stop(): Promise<readonly Error[]>;
}

export function createLifecycle({ components, stopTimeoutMs, log, clock }: LifecycleOptions): Lifecycle {
  const started: Component[] = [];
  let starting: Promise<void> = Promise.resolve();
  let stopping: Promise<readonly Error[]> | undefined;

  async function startAll(signal: AbortSignal): Promise<void> {
    for (const component of components) {
      if (signal.aborted) return;
      started.push(component);
      await component.start(signal);
    }
  }

  function stop(): Promise<readonly Error[]> {
    stopping ??= stopAll({ started, starting, stopTimeoutMs, log, clock });
    return stopping;
  }

  return {
    stop,
    async start(signal) {
      starting = startAll(signal);
      try {
        await starting;
      } catch (error) {
        if (signal.aborted) {
          log.info({ error: describeError(error) }, 'Start was given up, because the service is asked to stop');
          return;
        }
        for (const err of await stop()) log.error({ err }, 'Component did not stop well after the failed start');
        throw toError(error);
      }
    },
  };
}

interface Stopping extends Omit<LifecycleOptions, 'components'> {
  readonly started: readonly Component[];
  readonly starting: Promise<void>;
}

/**
 * Three moments, the last of them before `stopTimeoutMs` is over, so that who hangs can be named: the components'
 * deadline; a little later nobody waits for the one that hangs any more, and the rest is stopped at once; then who has
 * not stopped is abandoned.
 */
function planMoments({ stopTimeoutMs, clock }: Stopping) {
  const reserveMs = Math.min(1000, stopTimeoutMs / 4);
  const deadline = new AbortController();
  const impatience = makeMoment();
  const end = makeMoment();
  const timers = [
    clock.after(stopTimeoutMs - reserveMs, () => {
      deadline.abort();
    }),
    clock.after(stopTimeoutMs - reserveMs * 0.6, impatience.arrive),
    clock.after(stopTimeoutMs - reserveMs * 0.2, end.arrive),
  ];
  const cancel = (): void => {
    for (const timer of timers) timer.cancel();
  };
  return { deadline: deadline.signal, impatience: impatience.arrived, end: end.arrived, cancel };
}

function makeMoment(): { readonly arrived: Promise<void>; arrive(): void } {
  let arrive = (): void => undefined;
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  return { arrived, arrive };
}

async function stopAll(options: Stopping): Promise<readonly Error[]> {
  const { started, starting, log } = options;
  const { deadline, impatience, end, cancel } = planMoments(options);
  const failures: Error[] = [];
  const unsettled = new Map<Component, Promise<void>>();

  async function stopOne(component: Component): Promise<void> {
    try {
      await component.stop(deadline);
      log.debug({ component: component.name }, 'Component stopped');
    } catch (error) {
      failures.push(new Error(`${component.name}: ${describeError(error)}`, { cause: error }));
    }
    unsettled.delete(component);
  }

  // n.b. a component is not stopped while it starts; the failure of a start is told by `start`.
  await Promise.race([starting.catch(() => undefined), impatience]);
  for (const component of started.toReversed()) {
    const stopped = stopOne(component);
    unsettled.set(component, stopped);
    await Promise.race([stopped, impatience]);
  }
  await Promise.race([Promise.all(unsettled.values()), end]);
  cancel();
  for (const { name } of unsettled.keys())
    failures.push(new Error(`${name}: it did not stop before the deadline and was abandoned`));
  return failures;
}
