/**
 * The whole of Hydrant in one process: firehose → log on disk → sinks and detector, each with its cursor in the log, and files instead of Redis.
 */
import { join } from 'node:path';
import { createBusAlertPublisher } from '@hydrant/crashloop-detector/alerts/bus-alert-publisher';
import { readRule } from '@hydrant/crashloop-detector/config';
import { createCrashloopDetector } from '@hydrant/crashloop-detector/crashloop-detector';
import { createFileLedger } from '@hydrant/crashloop-detector/ledger/file-ledger';
import { createDetectorTelemetry } from '@hydrant/crashloop-detector/telemetry';
import { createFileCheckpointStore } from '@hydrant/firehose/checkpoint/file-checkpoint-store';
import { readFirehoseOptions } from '@hydrant/firehose/config';
import { createFirehose } from '@hydrant/firehose/firehose';
import { createInProcessBus } from '@hydrant/shared/bus/in-process/in-process-bus';
import type { ServiceContext, ServiceParts } from '@hydrant/shared/runtime/run-service';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { createSinkWorker } from '@hydrant/sink-worker/sink-worker';
import type { ConfiguredSink, StandaloneConfig } from './config.ts';

/** Between the stream and the log on disk; what the log's writer has not taken yet. */
const memorySpoolBytes = 16 * 1024 * 1024;
const detectorPrefetch = 500;
const detectorBytes = 64 * 1024 * 1024;

export function createStandalone(config: StandaloneConfig, sinks: readonly ConfiguredSink[], { log, metrics, clock }: ServiceContext): ServiceParts {
  const folder = config.DATA_DIR;
  const bus = createInProcessBus({
    spool: createFolderSpool({ dir: join(folder, 'log'), maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES, log, clock }),
    deadLetterDir: join(folder, 'dead-letters'),
    log,
    clock,
  });
  const workers = sinks.map(({ definition, worker, values }) => {
    const sink = definition.create(values, { log, name: worker.delivery.name });
    return createSinkWorker(worker, { bus, sink, log, metrics, clock });
  });
  const ledger = createFileLedger({ path: join(folder, 'ledger.ndjson'), log, clock });
  const detector = createCrashloopDetector({
    options: {
      queue: 'hydrant.crashloop-detector',
      bindings: ['event.Allocation.#'],
      prefetch: detectorPrefetch,
      maxHeldBytes: detectorBytes,
      rule: readRule(config),
      groupBy: config.DETECTOR_GROUP_BY,
      alertRoutingKey: 'crash-loop',
      retryMinMs: 200,
      retryMaxMs: 30_000,
    },
    bus,
    ledger,
    alertPublisher: createBusAlertPublisher(bus),
    telemetry: createDetectorTelemetry({ metrics, log }),
    log,
    clock,
  });
  const firehose = createFirehose(readFirehoseOptions(config), {
    bus,
    spool: createMemorySpool({ maxBytes: memorySpoolBytes }),
    checkpointStore: createFileCheckpointStore({ path: join(folder, 'checkpoint.json'), clock }),
    log,
    metrics,
    clock,
  });
  return {
    components: [bus, ...workers, ledger, detector, firehose],
    healthChecks: [...firehose.healthChecks, ...bus.healthChecks, ...workers.flatMap((worker) => worker.healthChecks)],
  };
}
