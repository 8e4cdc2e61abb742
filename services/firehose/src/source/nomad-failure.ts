/**
 * What went wrong between us and a Nomad agent, in words that say what to do about it. Never shows a secret that an
 * answer repeats.
 */
import { describeError, errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { maskUrl } from '@hydrant/shared/runtime/config/mask-url';
import type { NomadAddress } from './address.ts';

/** What an answer says about itself. */
export interface NomadAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  /** Unless it is 200: what it says, for people. */
  readonly words: string;
}

/** The codes that requests to Nomad fail with. */
export const nomadFailureCodes = [
  'nomad-unreachable',
  'nomad-silent',
  'nomad-tls',
  'nomad-http',
  'nomad-http-version',
  'nomad-credentials',
  'nomad-answer-too-large',
  'nomad-refused',
  'nomad-denied',
  'nomad-not-found',
  'nomad-html',
] as const;

const excerptChars = 512;
const htmlStart = /^\s*<(?:!doctype|html|\?xml)/iu;
const certificateCodes =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH$|EPROTO$)/u;

const closedCodes: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

export function isHtml({ headers, body }: Pick<NomadAnswer, 'headers' | 'body'>): boolean {
  return /^text\/html\b/iu.test(headers['content-type'] ?? '') || htmlStart.test(body.toString('latin1', 0, 64));
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  let shown = text;
  for (const secret of secrets) shown = shown.replaceAll(secret, '***');
  return shown;
}

/** The answer's own words on one line, or the title of a page; what a stranger answers must not steer a terminal. */
export function answerWords(answer: Omit<NomadAnswer, 'words'>, secrets: readonly string[] = []): string {
  const text = answer.body.toString('utf8', 0, 16 * excerptChars);
  const words = isHtml(answer) ? `an HTML page "${/<title[^>]*>([^<]*)/iu.exec(text)?.[1]?.trim() ?? ''}"` : text;
  return withoutSecrets(words, secrets)
    .replaceAll(/[\s\u0000-\u001f\u007f-\u009f]+/gu, ' ')
    .slice(0, excerptChars)
    .trim();
}

function refusalCode(status: number): string {
  if (status === 404) return 'nomad-not-found';
  return status === 401 || status === 403 ? 'nomad-denied' : 'nomad-refused';
}

/** Without a query, in which the other side may repeat what it was asked. */
function showLocation(location: string): string {
  const [path = ''] = location.split(/[?#]/u, 1);
  return (path.includes('://') ? maskUrl(path) : path).slice(0, excerptChars);
}

/** An answer that is not 200, with its status: whether asking again may help depends on it. */
class NomadRefusal extends HydrantError {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message, { code: refusalCode(status), retryable: true });
    this.status = status;
  }
}

/** The status that Nomad refused with; undefined when it did not answer, or something else failed. */
export function refusedStatus(thrown: unknown): number | undefined {
  return thrown instanceof NomadRefusal ? thrown.status : undefined;
}

/** The error for an answer that is not 200: `nomad-denied` (401, 403), `nomad-not-found` (404) or `nomad-refused`. */
export function refusal({ status, headers, words }: NomadAnswer, address: NomadAddress): HydrantError {
  const place = headers['location'] === undefined ? '' : ` and sends us to ${showLocation(headers['location'])}`;
  const text = `Expected Nomad at ${address.label} to answer 200, got ${String(status)}: ${words}${place}`;
  return new NomadRefusal(text, status);
}

/** The error for a page in the place of an answer. */
export function pageInstead(
  answer: Omit<NomadAnswer, 'words'>,
  address: NomadAddress,
  secrets: readonly string[] = [],
): HydrantError {
  const text = `Expected Nomad at ${address.label} to answer with JSON, got ${answerWords(answer, secrets)}; is there a proxy or a sign-in page between us? Check NOMAD_ADDR`;
  return new HydrantError(text, { code: 'nomad-html', retryable: true });
}

/** Of a thrown value and its causes, the first that fits. */
function findCause(thrown: unknown, fits: (cause: unknown) => boolean): unknown {
  let current = thrown;
  for (let depth = 0; depth < 5 && current !== undefined && current !== null; depth += 1) {
    if (fits(current)) return current;
    current = current instanceof Error ? current.cause : undefined;
  }
  return undefined;
}

/** n.b. undici has no code for it, only the parser's own words. */
function isInvalidVersion(thrown: unknown): boolean {
  if (errorCode(thrown) === 'HPE_INVALID_VERSION') return true;
  return (
    thrown instanceof Error && thrown.name === 'HTTPParserError' && thrown.message.includes('Invalid HTTP version')
  );
}

function isParserError(thrown: unknown): boolean {
  return (errorCode(thrown) ?? '').startsWith('HPE_') || (thrown instanceof Error && thrown.name === 'HTTPParserError');
}

function tlsHint(code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return 'set NOMAD_TLS_SERVER_NAME to a name that the certificate carries, such as server.global.nomad';
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return 'does that port speak TLS, and does it ask for a client certificate (NOMAD_CLIENT_CERT)?';
  if (code.startsWith('ERR_OSSL_') || code.startsWith('ERR_SSL_'))
    return 'check NOMAD_CLIENT_CERT, NOMAD_CLIENT_KEY and NOMAD_CACERT';
  return "set NOMAD_CACERT or NOMAD_CAPATH to the authority that signed Nomad's certificate";
}

/**
 * `silentMs`: how long we wait for bytes. A HydrantError of whatever a request threw: `nomad-http-version`,
 * `nomad-http`, `nomad-tls`, `nomad-silent` or `nomad-unreachable`.
 */
export function describeFailure(thrown: unknown, { label, origin }: NomadAddress, silentMs?: number): HydrantError {
  if (thrown instanceof HydrantError) return thrown;
  const make = (code: string, text: string): HydrantError =>
    new HydrantError(text, { code, retryable: true, cause: thrown });
  if (findCause(thrown, isInvalidVersion) !== undefined) {
    return make(
      'nomad-http-version',
      `Nomad at ${label} answers with "HTTP/0.0", which is no HTTP version: a defect of Nomad 1.11.2, 1.10.8 and 1.8.20, mended in 1.11.3, 1.10.9 and 1.8.21; upgrade the agent`,
    );
  }
  if (findCause(thrown, isParserError) !== undefined)
    return make(
      'nomad-http',
      `Expected an HTTP answer from Nomad at ${label}, got something else; does that port want https?`,
    );
  const tls = errorCode(findCause(thrown, (cause) => certificateCodes.test(errorCode(cause) ?? '')));
  if (tls !== undefined)
    return make('nomad-tls', `Cannot make a TLS connection to Nomad at ${label} (${tls}); ${tlsHint(tls)}`);
  const code = errorCode(thrown) ?? '';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return make(
      'nomad-silent',
      `Expected an answer from Nomad at ${label} ${silentMs === undefined ? 'in time' : `within ${String(silentMs / 1000)} s`}, got none: closed the connection`,
    );
  }
  // n.b. with TLS 1.3 a server refuses a client certificate, or misses one, after our side of the handshake is over.
  const hint =
    origin.startsWith('https:') && closedCodes.has(code)
      ? '; does it ask for a client certificate (NOMAD_CLIENT_CERT)?'
      : '';
  return make(
    'nomad-unreachable',
    `Cannot reach Nomad at ${label}${describeError(thrown).includes(code) ? '' : ` (${code})`}${hint}`,
  );
}
