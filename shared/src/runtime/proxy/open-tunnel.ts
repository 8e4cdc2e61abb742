/** A connection to an address through a proxy (CONNECT), by TLS within it where the address wants that. */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { systemClock } from '../../foundation/clock.ts';
import { HydrantError } from '../../foundation/errors.ts';
import type { ChosenProxy, Peer } from './choose-proxy.ts';

export interface TunnelOptions {
  /** Of the address; `host` and `port` are its own. */
  readonly tls: ConnectionOptions;
  /** Authorities that may have signed the certificate of a proxy that is reached by TLS. */
  readonly proxyCa?: string[] | undefined;
}

const limitMs = 10_000;
const headBytes = 16 * 1024;
const headEnd = '\r\n\r\n';
const notHttp = 'something that is no HTTP';

interface Asked {
  /** Of the proxy. */
  readonly setting: string;
  /** `host:port` behind it. */
  readonly authority: string;
}

/**
 * Rejects with a retryable `proxy-refused` that names the setting of the proxy, or with what kept the connection from
 * being made.
 */
export async function openTunnel(proxy: ChosenProxy, peer: Peer, { tls, proxyCa }: TunnelOptions): Promise<Socket> {
  const host = bare(peer.host);
  const socket = await askProxy(
    proxy.url,
    { setting: proxy.setting, authority: `${host.includes(':') ? `[${host}]` : host}:${String(peer.port)}` },
    proxyCa,
  );
  if (peer.protocol === 'http:') return socket;
  const servername = tls.servername ?? (isIP(host) === 0 ? host : '');
  const secure = connectTls({ ALPNProtocols: ['http/1.1'], ...tls, host, servername, socket });
  return once(secure, 'secureConnect').catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/u, '$1');
}

async function askProxy(url: string, asked: Asked, ca: string[] | undefined): Promise<Socket> {
  const { protocol, hostname, port, username, password } = new URL(url);
  const isTls = protocol === 'https:';
  const address = { host: bare(hostname), port: port === '' ? (isTls ? 443 : 80) : Number(port) };
  const servername = isIP(address.host) === 0 ? address.host : '';
  const socket = isTls
    ? connectTls({ ...address, servername, ...(ca === undefined ? {} : { ca }) })
    : connectTcp(address);
  const timer = systemClock.after(limitMs, () => {
    socket.destroy(refused(asked, `no answer within ${String(limitMs / 1000)} s`));
  });
  try {
    await once(socket, isTls ? 'secureConnect' : 'connect');
    const login =
      username === '' && password === ''
        ? ''
        : `Proxy-Authorization: Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}\r\n`;
    socket.write(`CONNECT ${asked.authority} HTTP/1.1\r\nHost: ${asked.authority}\r\n${login}\r\n`);
    const status = /^HTTP\/1\.\d (\d{3})\b/u.exec(await readHead(socket, asked))?.[1];
    if (status?.startsWith('2') !== true)
      throw refused(asked, status ?? notHttp, status === '407' ? '; put its user and password there' : '');
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    timer.cancel();
  }
}

function refused({ setting, authority }: Asked, got: string, hint = ''): HydrantError {
  return new HydrantError(`Expected a way to ${authority}, got ${got} from the proxy of ${setting}${hint}`, {
    code: 'proxy-refused',
    retryable: true,
  });
}

function once<S extends Socket>(socket: S, event: 'connect' | 'secureConnect'): Promise<S> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => {
      reject(Object.assign(new Error('Expected a connection, it was closed'), { code: 'ECONNRESET' }));
    };
    const settle = (): void => {
      socket.off('error', reject);
      socket.off('close', onClose);
    };
    socket.once('error', reject);
    socket.once('close', onClose);
    socket.once(event, () => {
      settle();
      resolve(socket);
    });
  });
}

/** The head of the answer to CONNECT. Nobody speaks behind it before being asked: what comes there is no tunnel. */
function readHead(socket: Socket, asked: Asked): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      socket.off('data', onData);
      socket.off('error', onError);
      socket.off('close', onClose);
      act();
    };
    const onError = (error: Error): void => {
      settle(() => {
        reject(error);
      });
    };
    const onClose = (): void => {
      onError(refused(asked, 'a closed connection'));
    };
    const onData = (part: Buffer): void => {
      bytes = Buffer.concat([bytes, part]);
      const end = bytes.indexOf(headEnd);
      if (end >= 0)
        settle(() => {
          resolve(bytes.toString('latin1', 0, end));
        });
      else if (bytes.length > headBytes) onError(refused(asked, notHttp));
    };
    socket.on('data', onData);
    socket.once('error', onError);
    socket.once('close', onClose);
  });
}
