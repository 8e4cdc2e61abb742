/** Asks a server on the loopback address one question and looks at the first bytes of its answer. */
import { createConnection } from 'node:net';

export function probe(
  port: number,
  question: Buffer,
  isAnswer: (bytes: Buffer) => boolean,
  timeoutMs = 1000,
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const finish = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => {
      finish(false);
    });
    socket.once('connect', () => {
      socket.write(question);
    });
    socket.once('data', (bytes) => {
      finish(isAnswer(bytes));
    });
    socket.once('error', () => {
      finish(false);
    });
    socket.once('end', () => {
      finish(false);
    });
  });
}
