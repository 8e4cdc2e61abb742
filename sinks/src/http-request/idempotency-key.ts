/** Names a request, so that the destination can tell a second try from new messages. */
import { createHash } from 'node:crypto';
import type { Batch } from '@hydrant/shared/delivery/sink';

/** Servers take some 8 KiB of headers. */
const mostId = 1024;

/**
 * `<id of the first message>-<hash over all>`: the same for the same batch. In characters that every header may have.
 */
export function idempotencyKey(batch: Batch): string {
  const hash = createHash('sha256');
  // Messages of other programs may come without an id.
  for (const { id, body } of batch) hash.update(id === '' ? body : id).update('\n');
  const first = (batch[0]?.id ?? '').slice(0, mostId).replaceAll(/[^!-~]/gu, '_');
  return `${first}-${hash.digest('hex').slice(0, 16)}`;
}
