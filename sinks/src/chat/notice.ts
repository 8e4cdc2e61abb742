/**
 * What a message says to a person: a sentence, facts, what to do next and where to look. For every destination that
 * speaks to people; each of them fits it into its own form and sizes.
 */
import type { Message } from '@hydrant/shared/messages/message';
import { isoTime } from '../encoding/time.ts';
import { describeAlert, isAlert } from './alert-notice.ts';
import type { Description } from './description.ts';
import { describeEvent } from './event-notice.ts';
import { parseFields } from './fields.ts';

export interface Notice extends Omit<Description, 'uiPath' | 'id'> {
  readonly id: string;
  readonly type: string;
  readonly time: string | undefined;
  readonly link: string | undefined;
}

/**
 * `uiUrl` is the address of Nomad's web interface, with or without `/ui`. Never throws: what cannot be read is named by
 * its id and type.
 */
export function makeNotice(message: Message, uiUrl: string | null): Notice {
  const body = parseFields(message.body);
  const { uiPath, id, ...description } = isAlert(message, body)
    ? describeAlert(message, body)
    : describeEvent(message, body);
  return {
    ...description,
    id: id ?? message.id,
    type: message.type,
    time: isoTime(message.timestampMs),
    link: uiUrl === null || uiPath === undefined ? undefined : makeLink(uiUrl, uiPath),
  };
}

function makeLink(uiUrl: string, path: string): string {
  return `${uiUrl.replace(/\/*(?:\/ui\/*)?$/u, '')}/ui${path}`;
}
