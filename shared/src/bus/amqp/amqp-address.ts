/**
 * One broker's address as the user wrote it, checked: what the driver needs of it, and the form of it that may be
 * shown.
 */
import type { Options } from 'amqplib';
import { describeError, HydrantError } from '../../foundation/errors.ts';
import { readTlsOptions } from '../../runtime/tls/tls-settings.ts';

export interface AmqpAddress {
  /** As the driver takes it; without credentials. */
  readonly target: Options.Connect;
  /** Null: by the certificate of the connection. */
  readonly login: { readonly user: string; readonly password: string } | null;
  readonly vhost: string;
  readonly connectTimeoutMs: number;
  /** Without credentials and parameters: for logs and `/readyz`. */
  readonly shown: string;
  readonly isTls: boolean;
}

type AuthMechanism = 'plain' | 'external';

interface Parameters {
  readonly heartbeat: number;
  readonly channelMax: number;
  readonly frameMax: number;
  readonly connectTimeoutMs: number;
  readonly mechanism: AuthMechanism;
}

// Without heartbeats a broker that vanished is noticed after minutes or never.
const defaults: Parameters = {
  heartbeat: 10,
  channelMax: 0,
  frameMax: 131_072,
  connectTimeoutMs: 10_000,
  mechanism: 'plain',
};

interface NumberParameter {
  readonly key: Exclude<keyof Parameters, 'mechanism'>;
  readonly min: number;
  readonly max: number;
  /** Means "no limit" or "none". */
  readonly orZero: boolean;
}

/** By RabbitMQ's names and by those that drivers of Node.js use. */
const heartbeat: NumberParameter = { key: 'heartbeat', min: 1, max: 3600, orZero: true };
const connectTimeout: NumberParameter = { key: 'connectTimeoutMs', min: 100, max: 600_000, orZero: false };
/** Each request that a broker may refuse has a channel of its own, and several are made at once. */
const channelMax: NumberParameter = { key: 'channelMax', min: 32, max: 65_535, orZero: true };
const frameMax: NumberParameter = { key: 'frameMax', min: 8192, max: 16 * 1024 * 1024, orZero: true };
const numbers: Readonly<Record<string, NumberParameter>> = {
  heartbeat,
  connection_timeout: connectTimeout,
  channel_max: channelMax,
  channelMax,
  frame_max: frameMax,
  frameMax,
};
const supported = 'heartbeat, connection_timeout, channel_max, frame_max, auth_mechanism';

/** What other clients of RabbitMQ take from an address, and Hydrant from settings: their endings. */
const elsewhere: Readonly<Record<string, string>> = {
  cacertfile: 'CACERT',
  certfile: 'CLIENT_CERT',
  keyfile: 'CLIENT_KEY',
  server_name_indication: 'TLS_SERVER_NAME',
};

/**
 * Throws a HydrantError (`amqp-address-invalid`, permanent) that does not repeat what may hold a password. `setting` is
 * where it stands.
 */
export function parseAmqpAddress(text: string, setting = 'AMQP_CONNECTION'): AmqpAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') || url.hostname === '') {
    throw invalid(
      `Expected \`${setting}\` to list addresses such as "amqp://user:password@host:5672/", got ${url === undefined ? 'something that is no address' : `one that starts with "${url.protocol}"`}`,
    );
  }
  const isTls = url.protocol === 'amqps:';
  const shown = `${url.protocol}//${url.host}${url.pathname}`;
  const { mechanism, connectTimeoutMs, ...tuning } = readParameters(url.searchParams, setting);
  if (mechanism === 'external' && !isTls)
    throw invalid(
      `Expected \`${setting}\` to begin with "amqps:" where auth_mechanism is external, which logs in by the certificate of the connection; got ${shown}`,
    );
  const isAnonymous = url.username === '' && url.password === '';
  const login = isAnonymous
    ? { user: 'guest', password: 'guest' }
    : { user: decode(url.username, setting), password: decode(url.password, setting) };
  const path = url.pathname.slice(1);
  return {
    target: {
      protocol: url.protocol.slice(0, -1),
      hostname: url.hostname.replace(/^\[|\]$/gu, ''),
      port: Number(url.port) || (isTls ? 5671 : 5672),
      // n.b. the driver decodes it.
      vhost: path === '' ? '/' : path,
      ...tuning,
    },
    login: mechanism === 'external' ? null : login,
    vhost: path === '' ? '/' : decode(path, setting),
    connectTimeoutMs,
    shown,
    isTls,
  };
}

/** For `check` of a service or a sink: what is wrong with the addresses in `<prefix>_CONNECTION`. */
export function amqpAddressProblems(values: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  const setting = `${prefix}_CONNECTION`;
  const urls = values[setting];
  const { certFile, names } = readTlsOptions(values, prefix);
  return (Array.isArray(urls) ? urls : []).flatMap((url) => {
    try {
      const { login, shown } = parseAmqpAddress(String(url), setting);
      if (login !== null || certFile !== null) return [];
      return [
        `Expected \`${names.certFile}\` and \`${names.keyFile}\` to be set for auth_mechanism=external in \`${setting}\` (${shown}), they are not`,
      ];
    } catch (error) {
      return [describeError(error)];
    }
  });
}

function readParameters(given: URLSearchParams, setting: string): Parameters {
  const read: Record<string, number | AuthMechanism> = {};
  for (const [name, text] of given) {
    const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
    if (number !== undefined) read[number.key] = readNumber(text, name, number, setting);
    else if (name === 'auth_mechanism') read['mechanism'] = readMechanism(text, setting);
    else throw unknownParameter(name, setting);
  }
  return { ...defaults, ...read };
}

function readNumber(text: string, name: string, { min, max, orZero }: NumberParameter, setting: string): number {
  const value = /^\d{1,9}$/u.test(text) ? Number(text) : Number.NaN;
  if ((value >= min && value <= max) || (orZero && value === 0)) return value;
  throw invalid(
    `Expected \`${name}\` in \`${setting}\` to be a whole number from ${String(min)} to ${String(max)}${orZero ? ', or 0' : ''}, got another value`,
  );
}

function readMechanism(text: string, setting: string): AuthMechanism {
  const word = text.toLowerCase();
  if (word === 'plain' || word === 'external') return word;
  throw invalid(
    `Expected \`auth_mechanism\` in \`${setting}\` to be plain (user and password) or external (client certificate), got another value`,
  );
}

function unknownParameter(name: string, setting: string): HydrantError {
  const ending = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
  const instead =
    ending === undefined
      ? `supported are ${supported}`
      : `set \`${setting.replace(/CONNECTION$/u, '')}${ending}\` instead`;
  return invalid(
    `Expected the address in \`${setting}\` to have known parameters, got \`${name.slice(0, 100)}\`; ${instead}`,
  );
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** n.b. what is no percent code stays as it is: a password may hold a bare `%`. */
function decode(text: string, setting: string): string {
  try {
    return text.replaceAll(/(?:%[0-9a-f]{2})+/giu, (codes) =>
      utf8.decode(Buffer.from(codes.replaceAll('%', ''), 'hex')),
    );
  } catch {
    throw invalid(
      `Expected the percent codes in the address of \`${setting}\` to be UTF-8 (such as %C3%A9 for é), some are not`,
    );
  }
}

function invalid(text: string): HydrantError {
  return new HydrantError(text, { code: 'amqp-address-invalid', retryable: false });
}
