/**
 * Reads the whole of a job or node whose list shows less, as nomad-firehose did for its `jobs` and `nodes`. One that is
 * gone, or has changed since it was listed, is not told of: the stream, which was open before, tells of the change.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode, HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { forEachMember } from '@hydrant/shared/foundation/json-scanner';
import type { FetchList } from '../lists/list-reading.ts';
import { classifyListFailure, listPatience, type ListPatience } from '../lists/patience.ts';
import type { CompatResource, CompatTelemetry } from './compat-messages.ts';

/** What is known of the object from the list. */
export interface ListedHead {
  readonly topic: string;
  readonly namespace: string;
  readonly key: string;
  readonly modifyIndex: number;
}

/** Undefined when there is nothing to tell. Rejects only with the reason of `signal`. */
export type ReadWhole = (head: ListedHead, signal: AbortSignal) => Promise<Buffer | undefined>;

interface WholeResource {
  readonly resource: CompatResource;
  readonly path: string;
  readonly isNamespaced: boolean;
}

const wholeResources: Readonly<Record<string, WholeResource>> = {
  Job: { resource: 'jobs', path: '/v1/job/', isNamespaced: true },
  Node: { resource: 'nodes', path: '/v1/node/', isNamespaced: false },
};

/** Whether the list of a topic shows less than nomad-firehose told. */
export function listShowsLess(topic: string): boolean {
  return Object.hasOwn(wholeResources, topic);
}

export interface WholeObjectOptions {
  readonly resources: readonly CompatResource[];
  /** Empty: the agent's own. */
  readonly region: string;
  readonly patience?: ListPatience;
  readonly retryMinMs?: number;
}

export interface WholeObjectPorts {
  readonly fetchList: FetchList;
  readonly telemetry: Pick<CompatTelemetry, 'compatFailed'>;
  readonly clock: Clock;
}

const retryMaxMs = 15_000;

function objectPath({ path, isNamespaced }: WholeResource, { namespace, key }: ListedHead, region: string): string {
  const parameters = new URLSearchParams(isNamespaced ? { namespace } : {});
  if (region !== '') parameters.set('region', region);
  const query = parameters.toString();
  return `${path}${encodeURIComponent(key)}${query === '' ? '' : `?${query}`}`;
}

function readModifyIndex(body: Buffer, path: string): number {
  let modifyIndex = 0;
  try {
    forEachMember(body, 0, (name, from, to) => {
      if (name === 'ModifyIndex') modifyIndex = Number(body.toString('latin1', from, to));
    });
  } catch (cause) {
    throw new HydrantError(
      `Expected Nomad to answer ${path} with an object, got ${JSON.stringify(body.toString('utf8', 0, 80))}`,
      { code: 'list-malformed', retryable: true, cause },
    );
  }
  return modifyIndex;
}

export function createWholeReader(
  { resources, region, patience = listPatience, retryMinMs = 250 }: WholeObjectOptions,
  { fetchList, telemetry, clock }: WholeObjectPorts,
): ReadWhole {
  /** Of these the last one could not be read for good: the next is not tried for long. */
  const failing = new Set<CompatResource>();

  async function readOnce(whole: WholeResource, head: ListedHead, signal: AbortSignal): Promise<Buffer | undefined> {
    const path = objectPath(whole, head, region);
    try {
      const { body } = await fetchList(path, signal);
      return readModifyIndex(body, path) === head.modifyIndex ? body : undefined;
    } catch (thrown) {
      if (errorCode(thrown) === 'nomad-not-found') return undefined;
      throw thrown;
    }
  }

  return async (head, signal) => {
    const whole = wholeResources[head.topic];
    if (whole === undefined || !resources.includes(whole.resource)) return undefined;
    const backoff = createBackoff({ minMs: retryMinMs, maxMs: retryMaxMs });
    const startedMs = clock.monotonic();
    for (;;) {
      signal.throwIfAborted();
      try {
        const body = await readOnce(whole, head, signal);
        failing.delete(whole.resource);
        return body;
      } catch (thrown) {
        signal.throwIfAborted();
        const limitMs = classifyListFailure(thrown) === 'passing' ? patience.passingMs : patience.answeredMs;
        if (failing.has(whole.resource) || clock.monotonic() - startedMs >= limitMs) {
          failing.add(whole.resource);
          telemetry.compatFailed({
            resource: whole.resource,
            event: `${head.topic}/${head.namespace}/${head.key}`,
            err: toError(thrown),
          });
          return undefined;
        }
      }
      await clock.sleep(backoff.next(), signal);
    }
  };
}
