/** Names made from where an event belongs. */
import type { Message } from '@hydrant/shared/messages/message';

/** `event.<Topic>.<Type>.<namespace>.<job>`; other messages have neither. */
const eventKey = /^event\.[^.]*\.[^.]*\.([^.]*)\.([^.]*)$/u;

/** `{namespace}` and `{job}` stand for those of the event, `_` where it has none. */
export function fillTemplate(template: string, message: Message): string {
  const [, namespace = '_', job = '_'] = eventKey.exec(message.routingKey) ?? [];
  return template.replaceAll('{namespace}', namespace).replaceAll('{job}', job);
}
