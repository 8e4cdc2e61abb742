/** Counters, gauges and log lines of the lease, and of what depends on it. */
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { FailoverTelemetry } from './failover.ts';
import type { LeaseTelemetry } from './lease.ts';

export function createLeaseTelemetry(log: Logger, metrics: Metrics): LeaseTelemetry & FailoverTelemetry {
  const losses = metrics.counter({
    name: 'hydrant_firehose_lease_losses_total',
    help: 'Times at which this process lost the lease: it ended unrenewed, or another firehose has it',
    labels: ['cause'],
  });
  const takeovers = metrics.counter({
    name: 'hydrant_firehose_lease_grants_total',
    help: 'Times at which this process began to lead, or went on after its lease had ended',
  });
  for (const cause of ['ended', 'taken'] as const) losses.inc(0, { cause });
  return {
    leaseGranted({ holder, token, wasPaused }) {
      takeovers.inc();
      log.info(
        { holder, token },
        wasPaused
          ? 'Got the lease again, publishing what was read meanwhile'
          : 'Leading: got the lease, reading and publishing from the checkpoint on',
      );
    },
    leaseFollowed: ({ holder, leader }) => {
      log.info({ holder, leader }, 'Standing by: another firehose leads');
    },
    leaseEnded({ holder, err }) {
      losses.inc(1, { cause: 'ended' });
      log.warn(
        { holder, err },
        'The lease ended before it could be renewed, stopped publishing; reading on until it is got again or another firehose has it',
      );
    },
    leaseLost({ holder, leader }) {
      losses.inc(1, { cause: 'taken' });
      log.warn(
        { holder, leader },
        'Another firehose has the lease now: publishing and saving nothing more, standing by',
      );
    },
    leaseUnknown: ({ place, err }) => {
      log.warn({ place, err }, 'Nobody can say who leads, will ask on; until then this firehose stands by');
    },
    leaseReleased({ holder, err }) {
      if (err === undefined) log.info({ holder }, 'Gave the lease back');
      else log.warn({ holder, err }, 'The lease could not be given back; another firehose leads when it has ended');
    },
    leaderCannotBegin: (err) => {
      log.error({ err }, 'This firehose leads and cannot begin, will retry');
    },
    termNotEnded: (err) => {
      log.error({ err }, 'What ran while this firehose led did not end well; the next time it leads it begins anew');
    },
    watchLease: ({ isHeld }) => {
      metrics.gauge({
        name: 'hydrant_firehose_leader',
        help: '1 while this process holds the lease; not there without FIREHOSE_HA',
        read: isHeld,
      });
    },
  };
}
