/** Where the dead letters of subscriptions lie, and how one subscription alone is addressed. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../foundation/errors.ts';

const suffix = '.ndjson';
const removalSuffix = '.remove';

export function deadLetterPath(deadLetterDir: string, subscription: string): string {
  return join(deadLetterDir, `${encodeURIComponent(subscription)}${suffix}`);
}

/** What a command wants the running process to hand out again, or the next one. */
export function replayPath(deadLetterDir: string, subscription: string): string {
  return join(deadLetterDir, `${encodeURIComponent(subscription)}.replay`);
}

/** Says that the subscription is to be forgotten, with its dead letters. */
export function removalPath(deadLetterDir: string, subscription: string): string {
  return join(deadLetterDir, `${encodeURIComponent(subscription)}${removalSuffix}`);
}

/** The subscriptions that ever had a dead letter. */
export function listDeadLetterSubscriptions(deadLetterDir: string): Promise<readonly string[]> {
  return listWith(suffix, deadLetterDir);
}

/** The subscriptions that are to be forgotten. */
export function listRemovals(deadLetterDir: string): Promise<readonly string[]> {
  return listWith(removalSuffix, deadLetterDir);
}

async function listWith(ending: string, deadLetterDir: string): Promise<readonly string[]> {
  try {
    const names = await readdir(deadLetterDir);
    return names
      .filter((name) => name.endsWith(ending))
      .map((name) => decodeURIComponent(name.slice(0, -ending.length)))
      .sort();
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

const directMark = '=';

/**
 * The routing key that only this subscription gets, whatever the bindings of others: no key of an event or alert begins
 * so.
 */
export function directRoutingKey(subscription: string): string {
  return `${directMark}${subscription}`;
}

export function isDirect(routingKey: string): boolean {
  return routingKey.startsWith(directMark);
}
