/**
 * What a failed connection to RabbitMQ, or the end of a channel, means and what to do about it, where amqplib's or the
 * broker's own words do not say.
 */
import { formatDuration } from '../../foundation/durations.ts';
import { describeError, errorCode } from '../../foundation/errors.ts';
import { explainTls } from '../../runtime/tls/explain-tls.ts';
import type { TlsOptions } from '../../runtime/tls/tls-settings.ts';
import type { AmqpAddress } from './amqp-address.ts';

const wrongProtocol =
  /^(?:EPROTO|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|ERR_SSL_UNEXPECTED_MESSAGE)$/u;
const loginAdvice = 'see the users with "rabbitmqctl list_users", RabbitMQ\'s log says which it is';

/** A clause for the end of a sentence; undefined when nothing is to be added. `nowMs` is the wall clock's. */
export function explainConnectFailure(
  thrown: unknown,
  { login, vhost, isTls }: Pick<AmqpAddress, 'login' | 'vhost' | 'isTls'>,
  tls: TlsOptions,
  nowMs: number,
): string | undefined {
  const text = describeError(thrown);
  const who = login === null ? 'the user of the certificate' : `the user "${login.user}"`;
  // n.b. the driver drops the reason that the broker gives.
  if (text.includes('Expected ConnectionOpenOk; got <ConnectionClose')) {
    return (
      `RabbitMQ refuses the virtual host "${vhost}" to ${who}: it does not exist ("rabbitmqctl add_vhost"), or the user has no permissions in it ("rabbitmqctl set_permissions"),` +
      " or a limit of connections is reached (of the virtual host, the user or the node); RabbitMQ's log says which"
    );
  }
  if (/ACCESS_REFUSED - Login was refused/u.test(text)) {
    if (login === null) return `there is no user of the name in the certificate; ${loginAdvice}`;
    const guest = login.user === 'guest' ? '; "guest" may log in from RabbitMQ\'s own machine only' : '';
    return `there is no ${who.slice(4)}, or the password is another one${guest}; ${loginAdvice}`;
  }
  if (/SASL mechanism \w+ is not provided/u.test(text)) {
    return login === null
      ? "enable RabbitMQ's plugin rabbitmq_auth_mechanism_ssl and list EXTERNAL in its auth_mechanisms"
      : 'RabbitMQ takes no passwords: auth_mechanism=external in the address logs in by certificate';
  }
  if (isTls)
    return wrongProtocol.test(errorCode(thrown) ?? '')
      ? 'does that port speak TLS? For one that does not the address begins with "amqp:"'
      : explainTls(thrown, tls, nowMs);
  const isCutOff =
    text.includes('Socket closed abruptly during opening handshake') || errorCode(thrown) === 'ECONNRESET';
  return isCutOff ? 'does that port speak AMQP? For one with TLS the address begins with "amqps:"' : undefined;
}

/** The broker ended a consumer and gave no reason. */
export const consumerCancelled = 'RabbitMQ has cancelled the consumer';

const holdAdvice =
  'lower what holds messages (SINK_BATCH_AGE, SINK_PAUSE_AFTER) or raise consumer_timeout in rabbitmq.conf';
/** Nobody sets a consumer_timeout below it. */
const shortestTimeoutMs = 1_000;

/**
 * The reason with what it means. `oldestMs`: for how long the oldest message that is not settled has been in flight on
 * that channel.
 */
export function explainChannelEnd(reason: Error, oldestMs: number | undefined): Error {
  const timeoutMs = /delivery acknowledgement on channel \d+ timed out\. Timeout value used: (\d+) ms/u.exec(
    reason.message,
  )?.[1];
  if (timeoutMs !== undefined) {
    return new Error(
      `A message was not acknowledged within RabbitMQ's consumer_timeout of ${formatDuration(Number(timeoutMs))}: ${holdAdvice}`,
      { cause: reason },
    );
  }
  if (reason.message !== consumerCancelled) return reason;
  // n.b. newer versions cancel the consumer then and do not say for what, as they do for a queue that is gone.
  if (oldestMs === undefined || oldestMs < shortestTimeoutMs)
    return new Error(`${consumerCancelled}: its queue was deleted or moved`);
  return new Error(
    `${consumerCancelled}: its queue was deleted or moved, or its consumer_timeout has fired, for a message in flight for ${formatDuration(Math.round(oldestMs / 1000) * 1000)}: ${holdAdvice}`,
  );
}
