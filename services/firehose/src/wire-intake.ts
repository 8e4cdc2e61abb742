/**
 * From Nomad to the spool: the stream, the lists that heal its gaps, and what nomad-firehose would have said of both.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Spool } from '@hydrant/shared/spool/spool';
import type { CheckpointTracker } from './checkpoint/tracker.ts';
import { readLeaderIndex, type LeaderIndex } from './gap/leader-index.ts';
import { Intake, type IntakePorts } from './intake.ts';
import { fetchListAt, type FetchList } from './lists/list-reading.ts';
import { regionName } from './message/id-prefix.ts';
import { createFrameMessages } from './message/message-maker.ts';
import { isNodeCopy } from './message/node-copies.ts';
import { createRedact, type RedactKind } from './message/redact.ts';
import { createCompatMessages, makeCompatMessage, type CompatResource } from './nomad-firehose/compat-messages.ts';
import { createJobStubs, type JobStubs } from './nomad-firehose/job-stubs.ts';
import { createWholeReader } from './nomad-firehose/whole-objects.ts';
import type { NomadAddress } from './source/address.ts';
import { createDenialProbe } from './source/denial.ts';
import { createIndexWatch, type IndexWatch } from './source/index-watch.ts';
import { createJobLister } from './source/list-jobs.ts';
import { createNamespaceWatch } from './source/namespaces.ts';
import type { NomadAccess } from './source/nomad-access.ts';
import { createNomadClient } from './source/nomad-http-client.ts';
import { createStreamOpener, type StreamQuery } from './source/open-stream.ts';
import { createSource, type Source } from './source/source.ts';
import type { FirehoseTelemetry } from './telemetry.ts';

export interface ReadingOptions extends StreamQuery {
  /** The name the user gives this Nomad. */
  readonly cluster: string;
  readonly addresses: readonly NomadAddress[];
  readonly access: NomadAccess;
  readonly start: 'oldest' | 'now' | 'snapshot';
  /** Longer frames are skipped. */
  readonly maxLineBytes: number;
  /** `changes`: without the copies of nodes that ride along with allocation updates. */
  readonly nodeUpdates: 'all' | 'changes';
  /** What is replaced in events. */
  readonly redact: readonly RedactKind[];
  /** What is told in nomad-firehose's form, too. */
  readonly compat: readonly CompatResource[];
}

export interface ReadingPorts {
  readonly spool: Spool;
  readonly tracker: CheckpointTracker;
  readonly beforeFrames: IntakePorts['beforeFrames'];
  readonly telemetry: FirehoseTelemetry;
  readonly clock: Clock;
}

export interface Reading {
  readonly source: Source;
  readonly intake: Intake;
  readonly indexWatch: IndexWatch;
  /** Undefined when nobody asked for them. */
  readonly jobStubs: JobStubs | undefined;
}

export function createReading(
  options: ReadingOptions,
  { spool, tracker, beforeFrames, telemetry, clock }: ReadingPorts,
): Reading {
  const region = regionName(options.region);
  const nomad = createNomadClient(options.access);
  const redact = createRedact(options.redact);
  const leavesOut = options.nodeUpdates === 'changes' ? isNodeCopy : undefined;
  const fetchList: FetchList = (path, signal) => fetchListAt(nomad, source.address, path, signal);
  const intake = new Intake(options, {
    messages: createFrameMessages({ cluster: options.cluster, region, redact, leavesOut }),
    compat: createCompatMessages(options.compat, options.cluster, telemetry),
    redact,
    spool,
    tracker,
    beforeFrames,
    fetchList,
    telemetry,
    clock,
    isReading: () => source.isReading,
    readWhole: createWholeReader(
      { resources: options.compat, region: options.region },
      { fetchList, telemetry, clock },
    ),
    jobsChanged: (change) => {
      jobStubs?.jobsChanged(change);
    },
    jobsAnew: () => {
      jobStubs?.beginAnew();
    },
  });
  const jobStubs = !options.compat.includes('jobliststubs')
    ? undefined
    : createJobStubs({
        listJobs: createJobLister(nomad, options.addresses, options),
        append: (stubs, signal) =>
          intake.append(
            (context) =>
              stubs.map(({ identity, body }) =>
                makeCompatMessage('jobliststubs', `${intake.idPrefix}/${identity}`, context, body),
              ),
            signal,
          ),
        telemetry,
        clock,
      });
  const leaderIndex = (address: NomadAddress, signal: AbortSignal): Promise<LeaderIndex | undefined> =>
    readLeaderIndex(options, (path, within) => fetchListAt(nomad, address, path, within), signal);
  const indexWatch = createIndexWatch({
    leaderIndex: async (signal) => (await leaderIndex(source.address, signal))?.index,
    telemetry,
    clock,
  });
  const source: Source = createSource(options, {
    openStream: createStreamOpener(nomad, options),
    probeDenial: createDenialProbe(nomad, options, clock),
    namespaces:
      options.namespace === '*' ? createNamespaceWatch(options, { client: nomad, telemetry, clock }) : undefined,
    receiver: intake,
    leaderIndex,
    telemetry,
    clock,
  });
  return { source, intake, indexWatch, jobStubs };
}
