/**
 * Signs requests as Standard Webhooks has it (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.
 */
import { createHmac } from 'node:crypto';

/** The specification's own. */
const keyBytes = { min: 24, max: 64 };
const prefix = 'whsec_';

function decodeSecret(secret: string): Buffer | undefined {
  const text = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret;
  if (!/^[A-Za-z0-9+/]+={0,2}$/u.test(text)) return undefined;
  const key = Buffer.from(text, 'base64');
  return key.length >= keyBytes.min && key.length <= keyBytes.max ? key : undefined;
}

export interface Signed {
  /** The same for a second try. */
  readonly id: string;
  readonly nowMs: number;
  /** As it is sent, compressed if it is. */
  readonly body: Buffer;
}

/**
 * The headers of a signed request; with several secrets, so that they can be changed one after the other, a signature
 * by each.
 */
export function signWebhook(secrets: readonly string[], { id, nowMs, body }: Signed): Readonly<Record<string, string>> {
  // A dot separates what is signed.
  const plainId = id.replaceAll('.', '_');
  const timestamp = String(Math.floor(nowMs / 1000));
  const signatures = secrets.map((secret) => {
    const key = decodeSecret(secret) ?? Buffer.alloc(0);
    return `v1,${createHmac('sha256', key).update(`${plainId}.${timestamp}.`).update(body).digest('base64')}`;
  });
  return { 'webhook-id': plainId, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

/** A sentence for each problem; never shows the secret. */
export function secretProblems(secrets: readonly string[], setting: string): readonly string[] {
  const isWell = secrets.length > 0 && secrets.every((secret) => decodeSecret(secret) !== undefined);
  return isWell
    ? []
    : [
        `Expected \`${setting}\` to be \`${prefix}\` and ${String(keyBytes.min)} to ${String(keyBytes.max)} random bytes in base64 (\`echo ${prefix}$(openssl rand -base64 32)\`), or several of those separated by commas, got something else`,
      ];
}
