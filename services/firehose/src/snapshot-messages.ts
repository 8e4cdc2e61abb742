/** The messages of listed objects: the event of the type `Snapshot`, and what nomad-firehose would have said of it. */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import type { Snapshot } from './gap/list-healer.ts';
import { regionName } from './message/id-prefix.ts';
import type { Redact } from './message/redact.ts';
import { makeSnapshotMessage } from './message/snapshot-message.ts';
import type { CompatMessages } from './nomad-firehose/compat-messages.ts';
import { listShowsLess } from './nomad-firehose/whole-objects.ts';

export interface SnapshotMessageContext {
  readonly cluster: string;
  /** Empty: the agent's own. */
  readonly region: string;
  readonly idPrefix: string;
  readonly redact: Redact;
  readonly compat: Pick<CompatMessages, 'make'>;
  /** Objects that did not change since were told of in nomad-firehose's form. */
  readonly compatSince: number;
  readonly clock: Clock;
}

export function makeSnapshotMessages(
  snapshots: readonly Snapshot[],
  { cluster, region, idPrefix, redact, compat, compatSince, clock }: SnapshotMessageContext,
): Message[] {
  const context = { idPrefix, cluster, region: regionName(region), redact, timestampMs: clock.now() };
  return snapshots.flatMap(({ list, object, whole, modifyIndex }) => {
    const message = makeSnapshotMessage(context, list, object);
    if (modifyIndex <= compatSince || (whole === undefined && listShowsLess(list.topic))) return [message];
    const shown = whole === undefined ? message : makeSnapshotMessage(context, list, { ...object, bytes: whole });
    return [message, ...compat.make([{ head: { topic: list.topic, index: modifyIndex } }], [shown])];
  });
}
