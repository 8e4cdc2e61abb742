/** Names made from where an event belongs. */
import type { Message } from '@hydrant/shared/messages/message';

/** `event.<Topic>.<Type>.<namespace>.<job>`; other messages have neither. */
const eventKey = /^event\.[^.]*\.[^.]*\.([^.]*)\.([^.]*)$/u;

/** `{namespace}` and `{job}` stand for those of the event, `_` where it has none. */
export function fillTemplate(template: string, message: Message): string {
  const [, namespace = '_', job = '_'] = eventKey.exec(message.routingKey) ?? [];
  // n.b. a function: in a text that replaces another, `$` is a command. And once: what is filled in holds no
  // placeholders of ours.
  return template.replaceAll(/\{(namespace|job)\}/gu, (_all, name: string) => (name === 'job' ? job : namespace));
}
