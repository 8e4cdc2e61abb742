/** Why a stream that can be read is not read on. */
import { HydrantError } from '@hydrant/shared/foundation/errors';

export function tooLong(maxLineBytes: number, found: string): HydrantError {
  return new HydrantError(
    `Expected a line of the stream to have at most ${String(maxLineBytes)} bytes (FIREHOSE_MAX_FRAME_BYTES), ${found}`,
    { code: 'line-too-long', retryable: true },
  );
}

export function foreign(
  address: string,
  {
    index,
    elsewhere = '',
    leaderIndex = 0,
  }: { readonly index: number; readonly elsewhere: string | undefined; readonly leaderIndex: number | undefined },
): HydrantError {
  const text =
    `Expected the Nomad at ${address} to be that of the checkpoint, which was read from ${elsewhere} up to index ${String(index)}, but its own lists end at ${String(leaderIndex)}: it is another Nomad. ` +
    'Nothing was published or overwritten. Give it a FIREHOSE_CLUSTER of its own; or, if it is the same one built anew, remove the checkpoint, whose place the log names at the start';
  return new HydrantError(text, { code: 'nomad-foreign', retryable: true });
}

export function wentBack(address: string, resumedAt: number, firstIndex: number): HydrantError {
  const text = `Expected the event stream of ${address} to come to index ${String(resumedAt)}, which was read before, but it stays behind: reading it from index ${String(firstIndex)}, where it begins`;
  return new HydrantError(text, { code: 'nomad-index-went-back', retryable: true });
}
