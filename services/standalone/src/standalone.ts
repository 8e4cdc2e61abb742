/**
 * The whole of Hydrant in one process: firehose → log on disk → sinks and detector, each with its cursor in the log,
 * and files instead of Redis.
 */
import { join } from 'node:path';
import { createBusAlertPublisher } from '@hydrant/crashloop-detector/alerts/bus-alert-publisher';
import { readRules } from '@hydrant/crashloop-detector/config';
import { createCrashloopDetector } from '@hydrant/crashloop-detector/crashloop-detector';
import { createLedger, stateLimits } from '@hydrant/crashloop-detector/ledger/state-ledger';
import { defaultMaxLineages } from '@hydrant/crashloop-detector/ledger/ledger';
import { createCrashLoopsPage } from '@hydrant/crashloop-detector/page/crash-loops-page';
import { createOutlook } from '@hydrant/crashloop-detector/page/outlook';
import { createDetectorTelemetry } from '@hydrant/crashloop-detector/telemetry';
import { createFileCheckpointStore } from '@hydrant/firehose/checkpoint/file-checkpoint-store';
import { readFirehoseOptions } from '@hydrant/firehose/config';
import { createFirehose } from '@hydrant/firehose/firehose';
import { createInProcessBus } from '@hydrant/shared/bus/in-process/in-process-bus';
import type { PublishOptions, PublishResult } from '@hydrant/shared/bus/bus';
import type { Message } from '@hydrant/shared/messages/message';
import type { ServiceContext, ServiceParts } from '@hydrant/shared/runtime/run-service';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { createFileStateStore } from '@hydrant/shared/state/file/file-state-store';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { createSinkWorker } from '@hydrant/sink-worker/sink-worker';
import type { StandaloneConfig, StandaloneParts } from './config.ts';
import { withFormerIndex } from './nomad-events-sink-index.ts';

/** Beside the log; the same for the process and for the commands. */
export function deadLetterFolder({ DATA_DIR: folder }: Pick<StandaloneConfig, 'DATA_DIR'>): string {
  return join(folder, 'dead-letters');
}

export function logFolder({ DATA_DIR: folder }: Pick<StandaloneConfig, 'DATA_DIR'>): string {
  return join(folder, 'log');
}

/** The queues of the log that somebody reads. */
export function readQueues(sinks: StandaloneParts['sinks']): readonly string[] {
  return [detectorQueue, ...sinks.map(({ worker }) => worker.queue)];
}

/** For whoever has no sink that takes alerts. */
const destinationAdvice =
  'add a sink that takes alerts, such as `SINK_TYPE=slack`, or a `[[sink]]` whose bindings hold `crash-loop`';
const detectorQueue = 'hydrant.crashloop-detector';
/** Between the stream and the log on disk; what the log's writer has not taken yet. */
const memorySpoolBytes = 4 * 1024 * 1024;
const detectorPrefetch = 500;
const detectorBytes = 64 * 1024 * 1024;

export function createStandalone(
  config: StandaloneConfig,
  { sinks, formerIndex, unknownKeys }: StandaloneParts,
  { log, metrics, clock }: ServiceContext,
): ServiceParts {
  const folder = config.DATA_DIR;
  if (unknownKeys.length > 0)
    log.warn({ keys: unknownKeys }, "nomad-events-sink's settings hold keys that mean nothing");
  const bus = createInProcessBus({
    spool: createFolderSpool({ dir: logFolder(config), maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES, log, clock }),
    deadLetterDir: deadLetterFolder(config),
    readers: readQueues(sinks),
    log,
    clock,
  });
  const workers = sinks.map(({ definition, worker, values }) => {
    const sink = definition.create(values, { log, name: worker.delivery.name });
    return createSinkWorker(worker, { bus, sink, log, metrics, clock });
  });
  const state = createFileStateStore({
    path: join(folder, 'state.ndjson'),
    limits: stateLimits(defaultMaxLineages),
    log,
    clock,
  });
  const ledger = createLedger({ store: state, clock });
  const detector = createCrashloopDetector({
    options: {
      queue: detectorQueue,
      bindings: ['event.Allocation.#'],
      prefetch: detectorPrefetch,
      maxHeldBytes: detectorBytes,
      ...readRules(config),
      groupBy: config.DETECTOR_GROUP_BY,
      alertRoutingKey: 'crash-loop',
      resolvedRoutingKey: 'crash-loop-resolved',
      notifyResolved: config.NOTIFY_RESOLVED,
      retryMinMs: 200,
      retryMaxMs: 30_000,
    },
    bus,
    ledger,
    alertPublisher: createBusAlertPublisher(bus),
    telemetry: createDetectorTelemetry({ metrics, log, destinationAdvice }),
    log,
    clock,
  });
  const { FIREHOSE_CLUSTER: cluster, FIREHOSE_REGION: region } = config;
  const checkpoints = createFileCheckpointStore({ path: join(folder, 'checkpoint.json'), cluster, region, clock });
  const firehose = createFirehose(readFirehoseOptions(config), {
    bus: { hasQueue: (name) => bus.hasQueue(name), publish: (message, options) => publish(message, options) },
    spool: createMemorySpool({ maxBytes: memorySpoolBytes }),
    checkpointStore: formerIndex === undefined ? checkpoints : withFormerIndex(checkpoints, formerIndex, region),
    log,
    metrics,
    clock,
  });
  const outlook = createOutlook({
    connections: [{ name: 'Nomad', checks: firehose.healthChecks.filter(({ name }) => name === 'nomad') }],
    quietAfterMs: null,
    clock,
  });
  const page = createCrashLoopsPage({
    ledger,
    rules: readRules(config),
    nomadUiUrl: config.NOMAD_UI_URL,
    outlook,
    log,
    clock,
  });

  function publish(message: Message, options?: PublishOptions): Promise<PublishResult> {
    outlook.eventReceived(message.timestampMs);
    return bus.publish(message, options);
  }
  return {
    routes: [page.routes],
    components: [bus, ...workers, state, outlook, page, detector, firehose],
    healthChecks: [...firehose.healthChecks, ...bus.healthChecks, ...workers.flatMap((worker) => worker.healthChecks)],
  };
}
