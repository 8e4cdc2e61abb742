/** What the tests of the page share. */
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { OpenLoop } from '../ledger/ledger.ts';

export const never = new AbortController().signal;

export const start = Date.parse('2026-11-21T03:20:00.000Z');

export const rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };

export const place = { cluster: 'eu', namespace: 'default', job: 'checkout-api', group: 'app', task: 'server' };

export const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

export function crash(seconds: number, changes: Partial<CrashDetail> = {}): string {
  return JSON.stringify({
    allocation,
    task: 'server',
    time: `${start + seconds * 1000}123456`,
    reason: 'Restart within policy',
    exitCode: 17,
    ...changes,
  });
}

export function makeLoop(changes: Partial<OpenLoop> = {}): OpenLoop {
  const crashes = changes.crashes ?? [0, 10, 20, 30, 60].map((seconds) => crash(seconds));
  return {
    alertId: 'a1',
    loop: 'key',
    openedAtUs: (start + 60_000) * 1000,
    newestUs: (start + 60_000) * 1000 + 123,
    count: crashes.length,
    crashes,
    lastEvent: '{}',
    place,
    ...changes,
  };
}

/** Time stands still until the test moves it. */
export function makeClock(): Clock & { ms: number; wake(): void } {
  const sleepers: (() => void)[] = [];
  return {
    ...systemClock,
    ms: 0,
    monotonic() {
      return this.ms;
    },
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        sleepers.push(resolve);
        signal?.addEventListener('abort', () => {
          resolve();
        });
      }),
    wake() {
      for (const wake of sleepers) wake();
    },
  };
}
