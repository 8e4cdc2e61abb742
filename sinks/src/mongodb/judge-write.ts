/** What MongoDB or its client says of a batch that was not taken whole. */
import { partial, permanent, retryable, type PartialFailure } from '@hydrant/shared/delivery/sink';
import { describeError, toError } from '@hydrant/shared/foundation/errors';

export interface WriteFailure {
  /** Position among the documents that were sent. */
  readonly index: number;
  readonly code: number;
  readonly errmsg: string;
}

const duplicateKey = 11_000;
/** Of the document itself: BadValue, FailedToParse, TypeMismatch, Overflow, names of fields, validation, size. */
const refusals = new Set([2, 9, 14, 15, 52, 55, 57, 121, 10_334, 17_280]);
/** What the client refuses to encode. */
const clientRefusals = new Set(['BSONError', 'BSONVersionError', 'MongoInvalidArgumentError']);
const hints: Readonly<Record<number, string>> = {
  13: 'the user needs the right to insert',
  18: 'user or password in SINK_MONGODB_CONNECTION is wrong',
  8000: 'user or password in SINK_MONGODB_CONNECTION is wrong',
};

/** MongoDB names the index; what speaks its protocol need not. */
function indexOf({ errmsg }: WriteFailure): string | undefined {
  return /\bindex: (\S+)/u.exec(errmsg)?.[1];
}

/** Whether only a look can tell a repeat from a document that another unique index refuses. */
export function isDoubtful(failure: WriteFailure): boolean {
  return failure.code === duplicateKey && indexOf(failure) === undefined;
}

/**
 * Undefined when all is there: a document whose `_id` is there already was taken by an earlier try. `positions` are
 * those of the sent documents in the batch, `isThere` answers for doubtful failures.
 */
export function judgeWriteFailures(
  writeFailures: readonly WriteFailure[],
  positions: readonly number[],
  isThere: (failure: WriteFailure) => boolean,
): Error | undefined {
  const isRepeat = (failure: WriteFailure): boolean =>
    failure.code === duplicateKey && (indexOf(failure) === '_id_' || (isDoubtful(failure) && isThere(failure)));
  const failures = writeFailures
    .filter((failure) => !isRepeat(failure))
    .map(({ index, code, errmsg }): PartialFailure => ({
      index: positions[index] ?? -1,
      reason: `Expected MongoDB to take a document, got ${String(code)}: ${errmsg.slice(0, 200)}`,
      retryable: !refusals.has(code) && code !== duplicateKey,
    }));
  const [first] = failures;
  if (first === undefined) return undefined;
  if (failures.length === positions.length && failures.every((failure) => failure.retryable))
    return retryable(first.reason);
  return partial(
    `${String(failures.length)} of ${String(positions.length)} messages were not taken: ${first.reason}`,
    failures,
  );
}

/** A call that failed as a whole waits, unless a document cannot even be encoded. */
export function judgeCall(error: unknown): Error {
  const { name } = toError(error);
  const code =
    typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'number'
      ? error.code
      : undefined;
  const hint = code === undefined ? undefined : hints[code];
  const said = `Expected MongoDB to take documents, got ${name}: ${describeError(error)}${hint === undefined ? '' : ` (${hint})`}`;
  return clientRefusals.has(name) ? permanent(said) : retryable(said);
}
