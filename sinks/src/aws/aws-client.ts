/** What the sinks of AWS services have in common: how their clients are made and what a failed call means. */
import type { Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { describeError, errorCode, toError } from '@hydrant/shared/foundation/errors';
import { isBrokenOff } from '@hydrant/shared/delivery/judge-failure';
import { broken, permanent, retryable } from '@hydrant/shared/delivery/sink';
import { createProxyAgents } from '@hydrant/shared/runtime/proxy/proxy-agents';
import { readProxyRules } from '@hydrant/shared/runtime/proxy/proxy-settings';

/** Loads a client's package; rejects (permanent) when it is not installed. */
export async function loadClient<T>(name: string, sinkType: string, load: () => Promise<T>): Promise<T> {
  // Of its support for versions of Node.js nobody who runs Hydrant decides: the version of the client is ours.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  try {
    return await load();
  } catch (error) {
    throw permanent(
      `Expected the package ${name} to be installed for SINK_TYPE=${sinkType}; install it beside Hydrant`,
      error,
    );
  }
}

export interface ClientOptions {
  readonly maxAttempts: number;
  readonly region?: string;
  readonly endpoint?: string;
  readonly requestHandler: AgentOptions;
}

interface AgentOptions {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

/**
 * Of a sink: `SINK_<…>_REGION`, `SINK_<…>_ENDPOINT` and those of proxies, which the clients by themselves know nothing
 * of.
 */
export interface ClientSettings {
  readonly region: string | null;
  readonly endpoint: string | null;
  readonly values: Readonly<Record<string, unknown>>;
}

/** One try each: retries, their pauses and their metrics belong to the delivery. */
export function clientOptions({ region, endpoint, values }: ClientSettings): ClientOptions {
  const { http, https } = createProxyAgents({ rules: readProxyRules(values), keepAlive: true });
  return {
    maxAttempts: 1,
    ...(region === null ? {} : { region }),
    ...(endpoint === null ? {} : { endpoint }),
    requestHandler: { httpAgent: http, httpsAgent: https },
  };
}

const certificateHint =
  'its certificate has expired, is for another name, or nobody here vouches for it: the file of its authority goes into NODE_EXTRA_CA_CERTS';
const commonHints: Readonly<Record<string, string>> = {
  AccessDenied: 'the key lacks the right to send there',
  AccessDeniedException: 'the key lacks the right to send there',
  CredentialsProviderError: 'give credentials in one of the ways that AWS clients know',
  UnrecognizedClientException: 'the access key is not known there',
  InvalidClientTokenId: 'the access key is not known there',
  SignatureDoesNotMatch: 'the secret key is not the right one',
  RequestTimeTooSkewed: 'compare the clock of this machine with theirs',
  RequestExpired: 'compare the clock of this machine with theirs',
  InvalidSignatureException: 'the secret key is not the right one, or the clock of this machine is not',
  SyntaxError: 'what answers there does not speak as AWS does: mostly a proxy, a sign-in page or another server',
};

export interface CallContext {
  /** What was called, such as `the queue events`. */
  readonly where: string;
  /**
   * Names of errors that the same batch will cause again; every other call waits: it is mended at AWS or in the
   * settings.
   */
  readonly refusals: ReadonlySet<string>;
  readonly hints: Readonly<Record<string, string>>;
}

const tooLarge = 413;
const certificateCodes = /CERT|SIGNATURE|ISSUER|ALTNAME/u;

/** What a call that failed as a whole means. */
export function explainCall(error: unknown, { where, refusals, hints }: CallContext): Error {
  const { name } = toError(error);
  const code = errorCode(error) ?? '';
  const status = statusOf(error);
  const hint = hints[name] ?? commonHints[name] ?? (certificateCodes.test(code) ? certificateHint : undefined);
  const said = `Expected ${where} to take messages, got ${name}${status === undefined ? '' : ` (${String(status)})`}: ${describeError(error)}${hint === undefined ? '' : ` (${hint})`}`;
  if (refusals.has(name) || status === tooLarge) return permanent(said);
  return isBrokenOff(error) ? broken(said) : retryable(said);
}

/** Makes a call; rejects with what its failure means. */
export async function callAws<T>(call: CallContext, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw explainCall(error, call);
  }
}

/** As `callAws`, for a call that only looks: a key that may send need not be allowed to. */
export async function lookAtAws(call: CallContext, look: () => Promise<unknown>): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'AccessDeniedException')) throw explainCall(error, call);
  }
}

/** Of the answer, if there was one. */
export function statusOf(error: unknown): number | undefined {
  const metadata = typeof error === 'object' && error !== null && '$metadata' in error ? error.$metadata : undefined;
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : undefined;
  return typeof status === 'number' ? status : undefined;
}
