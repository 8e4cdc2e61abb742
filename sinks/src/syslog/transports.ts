/** The ways to a syslog server. None has an answer of its own; each says how far it knows that a batch arrived. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { broken, permanent, retryable } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';

export interface StreamAddress {
  /** For errors. */
  readonly shown: string;
  readonly host?: string;
  readonly port?: number;
  /** Of a Unix stream socket. */
  readonly path?: string;
  readonly isTls: boolean;
  readonly caPath: string | null;
}

const settleMs = 5;

/**
 * On a connection of its own: resolves when the server has read everything and closed its side, which it does on our
 * end. What was only written into a socket would be lost with it, unseen. A server that closes without reading shows it
 * within a round trip: so long our end waits.
 */
export async function sendOnStream(bytes: Buffer, address: StreamAddress, signal: AbortSignal): Promise<void> {
  const ca = address.isTls && address.caPath !== null ? await readCa(address.caPath) : undefined;
  const socket = open(address, ca);
  const startedAt = systemClock.monotonic();
  let failure: unknown;
  let isEnding = false;
  let hasServerEnded = false;
  const onAbort = (): void => {
    socket.destroy(new Error('The time for it is up'));
  };
  const end = (): void => {
    isEnding = true;
    socket.end();
  };
  socket.on('error', (error) => {
    failure ??= error;
  });
  socket.once('end', () => {
    hasServerEnded = isEnding;
  });
  socket.once(address.isTls ? 'secureConnect' : 'connect', () => {
    const roundTripMs = systemClock.monotonic() - startedAt;
    socket.write(bytes, () => {
      systemClock.after(settleMs + 2 * roundTripMs, end);
    });
  });
  socket.resume();
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  await new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
  signal.removeEventListener('abort', onAbort);
  if (failure !== undefined)
    throw retryable(
      `Expected the syslog server at ${address.shown} to read a batch, got ${errorCode(failure) ?? describeError(failure)}`,
      undefined,
      failure,
    );
  if (!hasServerEnded)
    throw broken(`Expected the syslog server at ${address.shown} to read a batch to its end, it closed the connection`);
}

function open({ host, port, path, isTls }: StreamAddress, ca: Buffer | undefined): Socket {
  if (path !== undefined) return connectTcp({ path });
  const target = { host: host ?? '', port: port ?? 0 };
  return isTls ? connectTls({ ...target, ...(ca === undefined ? {} : { ca }) }) : connectTcp(target);
}

async function readCa(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw retryable(
      `Expected to read the certificate in ${path} (SINK_SYSLOG_CA_CERT_PATH), could not`,
      undefined,
      error,
    );
  }
}

/** Resolves when the system has taken the datagram. Whether it arrives nobody knows. */
export function sendDatagram(
  bytes: Buffer,
  { host, port, isIpv6 }: { readonly host: string; readonly port: number; readonly isIpv6: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIpv6 ? 'udp6' : 'udp4');
    const finish = (error: Error | null | undefined): void => {
      socket.close();
      if (error === null || error === undefined) resolve();
      else
        reject(
          retryable(
            `Expected to send to ${host}:${String(port)} by UDP, got ${errorCode(error) ?? error.message}`,
            undefined,
            error,
          ),
        );
    };
    socket.once('error', finish);
    socket.send(bytes, port, host, (error) => {
      socket.off('error', finish);
      finish(error);
    });
  });
}

export interface LocalOptions {
  readonly tag: string;
  readonly pid: number;
  /** Most bytes of a line; `logger` would cut longer ones into several messages. */
  readonly maxBytes: number;
  /** Default: the system's own socket. */
  readonly path?: string | undefined;
}

/**
 * Node.js has no Unix datagram sockets, which is what /dev/log is: `logger` has. Resolves when it has written every
 * line into the socket.
 */
export async function sendToLocal(
  lines: Buffer,
  { tag, pid, maxBytes, path }: LocalOptions,
  signal: AbortSignal,
): Promise<void> {
  const where = path === undefined ? [] : ['--socket', path];
  await runLogger(
    [
      '--priority',
      'user.notice',
      '--tag',
      tag,
      `--id=${String(pid)}`,
      '--size',
      String(maxBytes),
      '--socket-errors=on',
      ...where,
    ],
    lines,
    signal,
  );
}

/** Rejects (permanent) when there is no `logger`. */
export async function findLogger(signal: AbortSignal): Promise<void> {
  await runLogger(['--version'], Buffer.alloc(0), signal);
}

function runLogger(args: readonly string[], input: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('logger', args, { stdio: ['pipe', 'ignore', 'pipe'], signal, killSignal: 'SIGKILL' });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(0, 500);
    });
    child.once('error', (error) => {
      const isMissing = errorCode(error) === 'ENOENT';
      reject(
        isMissing
          ? permanent(
              'Expected the program `logger` (util-linux, Debian: bsdutils) for the local syslog socket; install it or set SINK_SYSLOG_PROTO',
              error,
            )
          : retryable('Expected `logger` to write to the local syslog socket, it did not', undefined, error),
      );
    });
    child.once('close', (code) => {
      if (code === 0 && said === '') resolve();
      else
        reject(
          retryable(
            `Expected \`logger\` to write to the local syslog socket, it ended with ${String(code)}: ${said.trim()}`,
          ),
        );
    });
    // n.b. when it ends early its end says why, not the broken pipe.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
