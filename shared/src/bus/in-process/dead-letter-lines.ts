/**
 * Dead letters as lines of JSON. The body stands there as text, or as base64 (`bodyEncoding`) where it is not UTF-8.
 */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Clock } from '../../foundation/clock.ts';
import { errorCode } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import { lockFolder } from '../../spool/folder/folder-lock.ts';

type Line = Omit<Message, 'body'> & { readonly bodyEncoding: 'utf8' | 'base64'; readonly body: string };

const newline = 10;
const lockRetryMs = 50;

export function formatDeadLetter(message: Message): string {
  const bodyEncoding = isUtf8(message.body) ? 'utf8' : 'base64';
  return `${JSON.stringify({ ...message, bodyEncoding, body: message.body.toString(bodyEncoding) } satisfies Line)}\n`;
}

/** Undefined for a line that a crash left unfinished: it is no dead letter, its message was not settled. */
export function parseDeadLetter(line: string): Message | undefined {
  try {
    const { bodyEncoding, body, ...message } = JSON.parse(line) as Line;
    return { ...message, body: Buffer.from(body, bodyEncoding) };
  } catch {
    return undefined;
  }
}

/** The dead letters of a file's text, oldest first. */
export function parseDeadLetters(text: string): Message[] {
  return text
    .split('\n')
    .map(parseDeadLetter)
    .filter((message) => message !== undefined);
}

/** The lines of a file, without their ends; the last one also when it has none. An absent file has no lines. */
export async function* readLines(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
        yield Buffer.concat([...rest, chunk.subarray(start, end)]);
        rest = [];
        start = end + 1;
      }
      rest.push(chunk.subarray(start));
    }
  } catch (thrown) {
    if (errorCode(thrown) !== 'ENOENT') throw thrown;
  }
  const last = Buffer.concat(rest);
  if (last.length > 0) yield last;
}

/**
 * Keeps those that add dead letters and those that take some away out of each other's way: they are different
 * processes.
 */
export async function withDeadLetterLock<T>(dir: string, clock: Clock, action: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const lock = await lockFolder(dir);
      try {
        return await action();
      } finally {
        await lock.release();
      }
    } catch (thrown) {
      if (errorCode(thrown) !== 'spool-locked') throw thrown;
      await clock.sleep(lockRetryMs);
    }
  }
}
