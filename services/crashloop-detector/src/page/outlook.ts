/**
 * What the detector can see: whether it is connected to what its events come from, since when, and how old the newest
 * event is. Without that, a page on which nothing loops would say that all is well while nobody looks.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { makeVisible } from '@hydrant/shared/foundation/visible-text';
import { readReadiness } from '@hydrant/shared/runtime/admin/admin-server';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Rule } from '../ledger/ledger.ts';

export interface Watched {
  /** For people, such as `Nomad`. */
  readonly name: string;
  /** Connected while all of them pass. */
  readonly checks: readonly HealthCheck[];
}

export interface OutlookOptions {
  readonly connections: readonly Watched[];
  /** So long without an event, somebody should look; null: a connection that stands is proof enough. */
  readonly quietAfterMs: number | null;
  readonly clock: Clock;
}

export interface ConnectionView {
  readonly name: string;
  readonly isConnected: boolean;
  /** Since when it has been so. */
  readonly since: string;
  /** Why it is not connected. */
  readonly detail: string | null;
}

export interface OutlookView {
  readonly startedAt: string;
  readonly connections: readonly ConnectionView[];
  /** To ten seconds, so that answers stay the same for a while; null: none since the start. */
  readonly newestEvent: string | null;
  readonly quietAfterMs: number | null;
}

export interface Outlook extends Component {
  /** `timestampMs`: when the event was read from Nomad, by the wall clock. */
  eventReceived(timestampMs: number): void;
  view(): OutlookView;
}

interface Connection {
  readonly watched: Watched;
  isConnected: boolean;
  sinceMs: number;
  /** A check has failed since then, perhaps for too short a time to count. */
  failingSinceMs: number | undefined;
  detail: string | null;
}

const tenMinutesMs = 600_000;
const lookMs = 1000;
/** A stream that is opened again at once was never away. */
const blinkMs = 5000;
const eventGridMs = 10_000;

/**
 * For a detector that cannot see whether Nomad is read: by then every crash that it knows may be out of the window, and
 * a page without loops says nothing.
 */
export function quietAfter({ intervalMs }: Pick<Rule, 'intervalMs'>): number {
  return Math.max(tenMinutesMs, intervalMs);
}

export function createOutlook({ connections: watched, quietAfterMs, clock }: OutlookOptions): Outlook {
  const startedAtMs = clock.now();
  const connections = watched.map((each): Connection => ({
    watched: each,
    isConnected: false,
    sinceMs: startedAtMs,
    failingSinceMs: startedAtMs,
    detail: null,
  }));
  let newestMs: number | undefined;
  let timer: Timer | undefined;
  const lookAtAll = (): void => {
    for (const connection of connections) look(connection, clock.now());
  };

  return {
    name: 'outlook',
    start() {
      timer ??= clock.every(lookMs, lookAtAll);
      return Promise.resolve();
    },
    stop() {
      timer?.cancel();
      timer = undefined;
      return Promise.resolve();
    },
    eventReceived(timestampMs) {
      if (newestMs === undefined || timestampMs > newestMs) newestMs = timestampMs;
    },
    view() {
      lookAtAll();
      // A clock that runs ahead elsewhere makes no event of the future.
      const newest = newestMs === undefined ? undefined : Math.min(newestMs, clock.now());
      return {
        startedAt: showTime(startedAtMs),
        connections: connections.map(({ watched: { name }, isConnected, sinceMs, detail }) => ({
          name,
          isConnected,
          since: showTime(sinceMs),
          detail,
        })),
        newestEvent: newest === undefined ? null : showTime(Math.floor(newest / eventGridMs) * eventGridMs),
        quietAfterMs,
      };
    },
  };
}

function look(connection: Connection, nowMs: number): void {
  const { status, checks } = readReadiness(connection.watched.checks, { isDraining: false, isVerbose: false });
  if (status === 'pass') {
    if (!connection.isConnected) connection.sinceMs = nowMs;
    connection.isConnected = true;
    connection.failingSinceMs = undefined;
    connection.detail = null;
    return;
  }
  connection.failingSinceMs ??= nowMs;
  if (connection.isConnected && nowMs - connection.failingSinceMs < blinkMs) return;
  if (connection.isConnected) connection.sinceMs = connection.failingSinceMs;
  connection.isConnected = false;
  connection.detail = makeVisible(
    Object.values(checks).find((health) => health.status === 'fail')?.detail ?? 'it does not answer',
  );
}

function showTime(ms: number): string {
  return new Date(ms).toISOString();
}
