/**
 * Agents for `node:http` and `node:https` that go through the proxy that the settings say, decided anew for each
 * connection. A connection that is kept and over which something comes that nobody asked for (the body of a 204, a
 * second answer) does not serve again.
 */
import { Agent as HttpAgent, type AgentOptions, type ClientRequest, type ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { toError } from '../../foundation/errors.ts';
import { chooseProxy, type Peer, type ProxyRules } from './choose-proxy.ts';
import { openTunnel } from './open-tunnel.ts';

export interface ProxyAgentOptions {
  readonly rules: ProxyRules;
  readonly tls?: ConnectionOptions;
  readonly proxyCa?: string[] | undefined;
  /** Default: each request has a connection of its own. */
  readonly keepAlive?: boolean;
}

export interface ProxyAgents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  /** Ends all connections. */
  destroy(): void;
}

type Connected = (error: Error | null, stream: Duplex) => void;

/** Servers close what is idle after five seconds or later. */
const idleMs = 4000;

export function createProxyAgents(options: ProxyAgentOptions): ProxyAgents {
  const agentOptions = { keepAlive: options.keepAlive === true, timeout: idleMs };
  const http = new ProxyHttpAgent(options, agentOptions);
  const https = new ProxyHttpsAgent(options, { ...agentOptions, ...options.tls });
  return {
    http,
    https,
    destroy() {
      http.destroy();
      https.destroy();
    },
  };
}

class ProxyHttpAgent extends HttpAgent {
  readonly #proxy: ProxyAgentOptions;

  constructor(proxy: ProxyAgentOptions, options: AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(options: ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    return connectThrough('http:', options, this.#proxy, callback)
      ? undefined
      : super.createConnection(options, callback);
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return isKept(super.keepSocketAlive(socket)) && watchIdle(socket);
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.off('data', endIdle);
    super.reuseSocket(socket, request);
  }
}

class ProxyHttpsAgent extends HttpsAgent {
  readonly #proxy: ProxyAgentOptions;

  constructor(proxy: ProxyAgentOptions, options: HttpsAgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(options: ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    return connectThrough('https:', options, this.#proxy, callback)
      ? undefined
      : super.createConnection(options, callback);
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return isKept(super.keepSocketAlive(socket)) && watchIdle(socket);
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.off('data', endIdle);
    super.reuseSocket(socket, request);
  }
}

/** n.b. the type says that nothing is returned; nothing and `true` mean the same here. */
function isKept(returned: unknown): boolean {
  return returned !== false;
}

function endIdle(this: Duplex): void {
  this.destroy();
}

function watchIdle(socket: Duplex): boolean {
  socket.on('data', endIdle);
  return true;
}

/** Whether a proxy is on the way; then `callback` hears of the connection. */
function connectThrough(
  protocol: Peer['protocol'],
  options: ClientRequestArgs,
  { rules, tls = {}, proxyCa }: ProxyAgentOptions,
  callback: Connected | undefined,
): boolean {
  if (typeof options.socketPath === 'string') return false;
  const peer = {
    protocol,
    host: options.host ?? 'localhost',
    port: Number(options.port ?? (protocol === 'https:' ? 443 : 80)),
  };
  const proxy = chooseProxy(rules, peer);
  if (proxy === undefined) return false;
  openTunnel(proxy, peer, { tls, proxyCa }).then(
    (socket) => callback?.(null, socket),
    // n.b. there is no stream then, whatever the type says.
    (error: unknown) => callback?.(toError(error), undefined as unknown as Duplex),
  );
  return true;
}
