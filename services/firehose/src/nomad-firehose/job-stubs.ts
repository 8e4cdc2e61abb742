/**
 * The messages of nomad-firehose's `jobliststubs`. Their summaries of allocations stand in no event, only in the list
 * of jobs, so an event about a job makes this read the list and tell of each job that has changed since the last time.
 * Until that is done, the checkpoint stays before that event.
 *
 * States: idle (nothing changed that was not told of) → listing (a change waits for a list that has it) → idle.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, toError } from '@hydrant/shared/foundation/errors';
import { forEachMember } from '@hydrant/shared/foundation/json-scanner';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import { forEachListed } from '../lists/list-reading.ts';
import { classifyListFailure, listPatience, type ListPatience } from '../lists/patience.ts';
import type { CompatTelemetry } from './compat-messages.ts';
import { asText } from './go-types.ts';
import { writeJobListStub } from './payloads.ts';
import { readObject } from './read-event.ts';

export interface JobList {
  /** Nomad's index of the list: changes up to it are in there. */
  readonly index: number;
  /** Each a JSON array of jobs as `GET /v1/jobs` gives them. */
  readonly pages: readonly Buffer[];
}

/** Rejects with a HydrantError, or the reason of `signal`. */
export type ListJobs = (signal: AbortSignal) => Promise<JobList>;

export interface JobStub {
  /** `jobliststubs/<namespace>/<job>/<ModifyIndex>` */
  readonly identity: string;
  readonly body: Buffer;
}

export interface JobStubTelemetry extends Pick<CompatTelemetry, 'compatMade' | 'compatFailed'> {
  /** It is tried again; said once until it works again. */
  jobListFailed(err: Error): void;
  /** It is tried again, but the checkpoint waits no longer; said once until it works again. */
  jobListGivenUp(err: Error): void;
}

export interface JobStubPorts {
  readonly listJobs: ListJobs;
  /** Puts the stubs into the spool behind what was read so far. Rejects when `signal` aborts before that. */
  readonly append: (stubs: readonly JobStub[], signal: AbortSignal) => Promise<void>;
  readonly telemetry: JobStubTelemetry;
  readonly clock: Clock;
  readonly patience?: ListPatience;
}

export interface JobStubs {
  readonly healthCheck: HealthCheck;
  /** From where on jobs are told of: the checkpoint, when there is one. */
  start(checkpoint: number | undefined): void;
  /**
   * Events about jobs were appended; `first` and `last` are their indexes, `before` that of the last frame that was
   * appended before them.
   */
  jobsChanged(change: JobChange): void;
  /** Indexes or jobs began anew: with the next change all jobs are told of. */
  beginAnew(): void;
  /** The highest index that a checkpoint may have; undefined: there may be none yet. */
  limit(index: number): number | undefined;
  /**
   * Resolves when nothing will be appended any more. What was not told is told after the next start, since the
   * checkpoint lies before it.
   */
  stop(): Promise<void>;
}

export interface JobChange {
  readonly first: number;
  readonly last: number;
  readonly before: number | undefined;
}

const listEveryMs = 1_000;
/** A list that lacks the change for so long is of another cluster, or of one that was set back. */
const patienceMs = 10_000;

/** The jobs of a page that changed after `index`. One that cannot be told is given to `failed`. */
export function readJobStubs(page: Buffer, index: number, failed: (err: Error) => void): JobStub[] {
  const stubs: JobStub[] = [];
  forEachListed('/v1/jobs', page, (start, end) => {
    try {
      let modifyIndex = 0;
      forEachMember(page, start, (key, from, to) => {
        if (key === 'ModifyIndex') modifyIndex = Number(page.toString('latin1', from, to));
      });
      if (modifyIndex <= index) return;
      const stub = readObject(page, start, end);
      // n.b. the summary says the namespace in every version of the list, the job itself does not.
      const namespace =
        stub['Namespace'] ??
        (stub['JobSummary'] as { readonly Namespace?: unknown } | null | undefined)?.Namespace ??
        '';
      stubs.push({
        identity: `jobliststubs/${asText(namespace)}/${asText(stub['ID'])}/${String(modifyIndex)}`,
        body: Buffer.from(writeJobListStub(stub)),
      });
    } catch (thrown) {
      failed(toError(thrown));
    }
  });
  return stubs;
}

class ListedJobStubs implements JobStubs {
  readonly healthCheck: HealthCheck = {
    name: 'job-list',
    check: () =>
      this.#problem === undefined
        ? { status: 'pass' }
        : {
            status: 'fail',
            detail: `${this.#isGivenUp ? 'no job stubs are made, for the list of jobs cannot be read' : 'the checkpoint waits for the list of jobs'}: ${this.#problem}`,
          },
  };
  readonly #ports: JobStubPorts;
  readonly #stopping = new AbortController();
  readonly #backoff = createBackoff({ minMs: listEveryMs, maxMs: 30_000 });
  /** Jobs that changed up to here were told of. */
  #toldUpTo: number | undefined;
  #listing: JobChange | undefined;
  #next: JobChange | undefined;
  #running: Promise<void> | undefined;
  #problem: string | undefined;
  #failing: { readonly isPassing: boolean; readonly sinceMs: number } | undefined;
  /**
   * It has failed for so long that nothing waits for it any more. What changed meanwhile is told of when it can be read
   * again, if that is before the next start.
   */
  #isGivenUp = false;

  constructor(ports: JobStubPorts) {
    this.#ports = ports;
  }

  start(checkpoint: number | undefined): void {
    // n.b. another frame of the checkpoint's own index may still come.
    if (checkpoint !== undefined) this.#toldUpTo = checkpoint - 1;
  }

  jobsChanged(change: JobChange): void {
    this.#toldUpTo ??= change.first - 1;
    const { first, last, before } = this.#next ?? change;
    this.#next = { first: Math.min(first, change.first), last: Math.max(last, change.last), before };
    this.#running ??= this.#run(this.#stopping.signal);
  }

  beginAnew(): void {
    this.#toldUpTo = 0;
  }

  limit(index: number): number | undefined {
    const oldest = this.#isGivenUp ? undefined : (this.#listing ?? this.#next);
    return oldest === undefined ? index : oldest.before === undefined ? undefined : Math.min(index, oldest.before);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (this.#next !== undefined && !signal.aborted) {
      this.#listing = this.#next;
      this.#next = undefined;
      if (!(await this.#tell(this.#listing, signal))) return;
      this.#listing = undefined;
      await this.#ports.clock.sleep(listEveryMs, signal);
    }
    this.#running = undefined;
  }

  /** True when every change was told of; false when `signal` aborted before. */
  async #tell(change: JobChange, signal: AbortSignal): Promise<boolean> {
    const { clock, listJobs, append, telemetry } = this.#ports;
    const startedMs = clock.monotonic();
    while (!signal.aborted) {
      try {
        const list = await listJobs(signal);
        this.#noteSuccess();
        if (list.index >= change.last || clock.monotonic() - startedMs > patienceMs) {
          const failed = (err: Error): void => {
            telemetry.compatFailed({ resource: 'jobliststubs', event: 'list of jobs', err });
          };
          const toldUpTo = this.#toldUpTo ?? 0;
          // A list that is older than what was told of is that of a cluster that began anew.
          const after = list.index < toldUpTo ? change.first - 1 : toldUpTo;
          const stubs = list.pages.flatMap((page) => readJobStubs(page, after, failed));
          await append(stubs, signal);
          telemetry.compatMade('jobliststubs', stubs.length);
          this.#toldUpTo = list.index;
          return true;
        }
        await clock.sleep(listEveryMs, signal);
      } catch (thrown) {
        if (signal.aborted) return false;
        this.#noteFailure(toError(thrown));
        await clock.sleep(this.#backoff.next(), signal);
      }
    }
    return false;
  }

  #noteSuccess(): void {
    this.#problem = undefined;
    this.#failing = undefined;
    this.#isGivenUp = false;
    this.#backoff.reset();
  }

  #noteFailure(err: Error): void {
    const { clock, telemetry, patience = listPatience } = this.#ports;
    if (this.#problem === undefined) telemetry.jobListFailed(err);
    this.#problem = describeError(err);
    const isPassing = classifyListFailure(err) === 'passing';
    const nowMs = clock.monotonic();
    if (this.#failing?.isPassing !== isPassing) this.#failing = { isPassing, sinceMs: nowMs };
    // n.b. a job that changed since shows that Nomad has a leader, and that it is not Nomad that is away.
    const isHopeless =
      nowMs - this.#failing.sinceMs >= (isPassing ? patience.passingMs : patience.answeredMs) &&
      (!isPassing || this.#next !== undefined);
    if (this.#isGivenUp || !isHopeless) return;
    this.#isGivenUp = true;
    telemetry.jobListGivenUp(err);
  }
}

export function createJobStubs(ports: JobStubPorts): JobStubs {
  return new ListedJobStubs(ports);
}
