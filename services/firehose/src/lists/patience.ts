/**
 * How long a list that fails is tried again. The checkpoint waits for it, so an answer that stays the same (400, 403, a
 * proxy's page, no list at all) must not be taken for one that passes. A Nomad that is away or without a leader is
 * waited for as long as it takes.
 */
import { errorCode } from '@hydrant/shared/foundation/errors';
import { refusedStatus } from '../source/nomad-failure.ts';

export interface ListPatience {
  /** For an answer that will hardly change; a token may be renewed meanwhile. */
  readonly answeredMs: number;
  /** For anything else, as long as Nomad answers other lists. */
  readonly passingMs: number;
}

export const listPatience: ListPatience = { answeredMs: 60_000, passingMs: 600_000 };

/**
 * `permanent`: the same request fails again. `answered`: Nomad has said no and hardly changes its mind. `passing`: it
 * is away, busy or ill.
 */
export type ListFailure = 'permanent' | 'answered' | 'passing';

const permanentCodes: ReadonlySet<string> = new Set(['list-endless', 'nomad-not-found']);
const answeredCodes: ReadonlySet<string> = new Set([
  'list-malformed',
  'nomad-denied',
  'nomad-html',
  'nomad-answer-too-large',
]);
/** Request Timeout, Too Many Requests. */
const passingStatuses: ReadonlySet<number> = new Set([408, 429]);
const notImplemented = 501;

export function classifyListFailure(thrown: unknown): ListFailure {
  const code = errorCode(thrown) ?? '';
  if (permanentCodes.has(code)) return 'permanent';
  if (answeredCodes.has(code)) return 'answered';
  const status = refusedStatus(thrown);
  if (status === undefined || passingStatuses.has(status)) return 'passing';
  return status < 500 || status === notImplemented ? 'answered' : 'passing';
}

/**
 * What to do about a list that has failed so for `triedMs`. `give-up-alone`: give it up if Nomad answers another one,
 * for then it is not Nomad that is away.
 */
export function judgeListFailure(
  failure: ListFailure,
  triedMs: number,
  { answeredMs, passingMs }: ListPatience,
): 'retry' | 'give-up' | 'give-up-alone' {
  if (failure === 'permanent') return 'give-up';
  if (failure === 'answered') return triedMs >= answeredMs ? 'give-up' : 'retry';
  return triedMs >= passingMs ? 'give-up-alone' : 'retry';
}

/** For people: what keeps a list from being read. */
export function listRemedy(thrown: unknown): string {
  const code = errorCode(thrown);
  if (code === 'nomad-denied')
    return 'give the token what docs/nomad.md says that the lists need, or take the topic out of FIREHOSE_TOPICS';
  if (code === 'nomad-not-found')
    return 'this Nomad has no such list: take the topic out of FIREHOSE_TOPICS, or upgrade';
  if (code === 'list-endless') return 'upgrade the Nomad servers';
  return 'look at what NOMAD_ADDR answers to this list; is there a proxy in between?';
}
