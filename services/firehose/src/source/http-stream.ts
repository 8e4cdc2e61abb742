/**
 * One GET whose answer is read as it comes, for as long as that may be. Of Node.js itself, unlike the other requests:
 * undici 7 ends the process when the other side ends a stream that is not being read just then (its issue 5360).
 */
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { noProxies, type ProxyRules } from '@hydrant/shared/runtime/proxy/choose-proxy';
import { createProxyAgents } from '@hydrant/shared/runtime/proxy/proxy-agents';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { NomadAddress } from './address.ts';
import type { Credentials } from './nomad-access.ts';

/** As undici has it. */
const connectMs = 10_000;

/**
 * Resolves when the answer begins. Rejects with what kept it from that, or when `signal` aborts, which ends the answer
 * as well.
 */
export function openHttpStream(
  { headers, tls }: Credentials,
  { label, origin, socketPath }: NomadAddress,
  path: string,
  signal: AbortSignal,
  rules: ProxyRules = noProxies,
): Promise<IncomingMessage> {
  const isTls = origin.startsWith('https:');
  const agents = createProxyAgents({ rules, tls, proxyCa: tls.ca });
  const options = {
    agent: isTls ? agents.https : agents.http,
    headers,
    signal,
    ...tls,
    ...(socketPath === undefined ? {} : { socketPath }),
  };
  return new Promise((resolve, reject) => {
    const asked = (isTls ? requestHttps : requestHttp)(`${origin}${path}`, options);
    const timer = systemClock.after(connectMs, () => {
      asked.destroy(
        new HydrantError(
          `Expected Nomad at ${label} to take a connection within ${String(connectMs / 1000)} s, it did not`,
          { code: 'nomad-unreachable', retryable: true },
        ),
      );
    });
    // n.b. of a connection through a proxy nobody hears any more that it was made; it is sent on one that was.
    asked.once('finish', () => {
      timer.cancel();
    });
    asked.once('close', () => {
      timer.cancel();
    });
    asked.once('response', resolve);
    // n.b. what breaks later is the answer's to tell, and is told here too.
    asked.on('error', reject);
    asked.end();
  });
}
