/** Reads the list of jobs, in pages, from the first address that answers. */
import { describeError, errorCode, HydrantError, toError } from '@hydrant/shared/foundation/errors';
import type { JobList, ListJobs } from '../nomad-firehose/job-stubs.ts';
import type { NomadAddress } from './address.ts';
import type { NomadClient } from './nomad-http-client.ts';
import type { StreamQuery } from './open-stream.ts';

interface Page {
  readonly index: number;
  readonly next: string | undefined;
  readonly body: Buffer;
}

function listPath({ namespace, region }: StreamQuery, perPage: number, next: string | undefined): string {
  const parameters = new URLSearchParams({ namespace, per_page: String(perPage) });
  if (region !== '') parameters.append('region', region);
  if (next !== undefined) parameters.append('next_token', next);
  return `/v1/jobs?${parameters.toString()}`;
}

/** Nomad says no more than "Permission denied". */
function explainDenied(thrown: unknown): never {
  if (errorCode(thrown) !== 'nomad-denied') throw thrown;
  throw new HydrantError(`${describeError(thrown)}; the list of jobs needs the capability list-jobs, beside read-job`, { code: 'nomad-denied', retryable: true, cause: thrown });
}

export function createJobLister(nomad: NomadClient, addresses: readonly NomadAddress[], query: StreamQuery, perPage = 1_000): ListJobs {
  async function readPage(address: NomadAddress, next: string | undefined, signal: AbortSignal): Promise<Page> {
    const { headers, body } = await nomad.get(address, listPath(query, perPage, next), signal).catch(explainDenied);
    const index = Number(headers['x-nomad-index'] ?? Number.NaN);
    if (!Number.isSafeInteger(index) || body[0] !== 0x5b) {
      throw new HydrantError(`Expected Nomad at ${address.label} to answer /v1/jobs with a list and an X-Nomad-Index, got something else`, { code: 'nomad-refused', retryable: true });
    }
    const token = headers['x-nomad-nexttoken'];
    return { index, next: token === '' ? undefined : token, body };
  }

  async function listFrom(address: NomadAddress, signal: AbortSignal): Promise<JobList> {
    const first = await readPage(address, undefined, signal);
    const pages = [first.body];
    for (let { next } = first; next !== undefined;) {
      const page = await readPage(address, next, signal);
      pages.push(page.body);
      next = page.next;
    }
    // n.b. pages are separate queries: what the first one is sure to have seen, all of them have.
    return { index: first.index, pages };
  }

  return async (signal) => {
    let failure: Error | undefined;
    for (const address of addresses) {
      try {
        return await listFrom(address, signal);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        failure = toError(thrown);
      }
    }
    throw failure ?? new HydrantError('Expected an address of Nomad', { code: 'config-invalid', retryable: false });
  };
}
