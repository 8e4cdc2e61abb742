/**
 * The routing key of an event, `event.<Topic>.<Type>.<namespace>.<job>`: always five words. A filter, not an identity.
 */
const maxBytes = 255;
/**
 * Nomad's own limit for a namespace's name. With topics and types below 48 characters, some of the job's name always
 * fits.
 */
const maxNamespace = 128;
const maxWord = 48;

function toWord(text: string | undefined, maxLength: number): string {
  if (text === undefined || text === '') return '_';
  return text.replaceAll(/[^A-Za-z0-9_-]/gu, '_').slice(0, maxLength);
}

export interface Routable {
  readonly topic: string;
  readonly type: string;
  readonly namespace: string;
  readonly jobId?: string;
}

export function routingKey(event: Routable): string {
  const prefix = `event.${toWord(event.topic, maxWord)}.${toWord(event.type, maxWord)}.${toWord(event.namespace, maxNamespace)}.`;
  return prefix + toWord(event.jobId, maxBytes - prefix.length);
}
