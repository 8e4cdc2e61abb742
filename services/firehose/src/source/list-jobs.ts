/** Reads the list of jobs, in pages, from the first address that answers. */
import { errorCode, HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { fetchListAt, ListReading } from '../lists/list-reading.ts';
import type { JobList, ListJobs } from '../nomad-firehose/job-stubs.ts';
import type { NomadAddress } from './address.ts';
import type { NomadClient } from './nomad-http-client.ts';
import type { StreamQuery } from './open-stream.ts';

const path = '/v1/jobs';

/** The policy of the stream is not enough, and Nomad does not say what is lacking. */
function describeJobListFailure(thrown: unknown): Error {
  if (errorCode(thrown) !== 'nomad-denied') return toError(thrown);
  const text =
    'Expected to be allowed to list the jobs, which FIREHOSE_COMPAT=jobliststubs is made of; give the token the capability list-jobs in every namespace that is read';
  return new HydrantError(text, { code: 'nomad-denied', retryable: true, cause: thrown });
}

export function createJobLister(
  nomad: NomadClient,
  addresses: readonly NomadAddress[],
  { namespace, region }: StreamQuery,
  perPage = 1_000,
): ListJobs {
  async function listFrom(address: NomadAddress, signal: AbortSignal): Promise<JobList> {
    const reading = new ListReading(
      path,
      { namespace, region, perPage },
      (asked, within) => fetchListAt(nomad, address, asked, within),
      (body) => body,
    );
    const pages: Buffer[] = [];
    let index: number | undefined;
    for (let page = await reading.next(signal); page !== undefined; page = await reading.next(signal)) {
      pages.push(page.content);
      // n.b. pages are separate queries: what the first one is sure to have seen, all of them have.
      index ??= page.index;
    }
    if (index === undefined) {
      throw new HydrantError(
        `Expected Nomad at ${address.label} to answer ${path} with an X-Nomad-Index, got none; is there a proxy in between?`,
        { code: 'list-malformed', retryable: true },
      );
    }
    return { index, pages };
  }

  return async (signal) => {
    let failure: Error | undefined;
    for (const address of addresses) {
      try {
        return await listFrom(address, signal);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        failure = describeJobListFailure(thrown);
      }
    }
    throw failure ?? new HydrantError('Expected an address of Nomad', { code: 'config-invalid', retryable: false });
  };
}
