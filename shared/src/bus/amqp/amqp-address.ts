/** One broker's address as the user wrote it, checked, and the form of it that may be shown. */
import { HydrantError } from '../../foundation/errors.ts';

export interface AmqpAddress {
  /** With credentials: for the driver only. */
  readonly url: string;
  /** Without credentials and parameters: for logs and `/readyz`. */
  readonly shown: string;
  readonly isTls: boolean;
}

const heartbeatSeconds = 10;

/** Throws a HydrantError (`amqp-address-invalid`, permanent) that does not repeat what may hold a password. */
export function parseAmqpAddress(text: string): AmqpAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') || url.hostname === '') {
    throw new HydrantError(
      `Expected AMQP_CONNECTION to list addresses such as "amqp://user:password@host:5672/", got ${url === undefined ? 'something that is no address' : `one that starts with "${url.protocol}"`}`,
      { code: 'amqp-address-invalid', retryable: false },
    );
  }
  // Without heartbeats a broker that vanished is noticed after minutes or never.
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(heartbeatSeconds));
  return { url: url.href, shown: `${url.protocol}//${url.host}${url.pathname}`, isTls: url.protocol === 'amqps:' };
}
