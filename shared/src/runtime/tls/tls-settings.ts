/** The settings of a TLS connection, the same four for everything that we connect to, and what they name. */
import { path, text } from '../config/formats.ts';
import type { Setting } from '../config/setting.ts';

const endings = ['CACERT', 'CLIENT_CERT', 'CLIENT_KEY', 'TLS_SERVER_NAME'] as const;
type Ending = (typeof endings)[number];

/** `AMQP_CACERT`, `AMQP_CLIENT_CERT`, … for the prefix `AMQP`. */
export type TlsSettings<P extends string> = Readonly<
  Record<`${P}_${Ending}`, Setting<string> & { readonly default: null }>
>;

/** Files and name as set, and what each of them is called where it was set; null: not set. */
export interface TlsOptions {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly serverName: string | null;
  readonly names: TlsNames;
}

export type TlsNames = Readonly<Record<'caFile' | 'certFile' | 'keyFile' | 'serverName', string>>;

/** `peer` is whom we connect to, as the documentation calls it. */
export function tlsSettings<P extends string>(prefix: P, peer: string): TlsSettings<P> {
  const declared: Readonly<Record<Ending, Setting<string> & { readonly default: null }>> = {
    CACERT: {
      doc: `PEM file of the authorities that may have signed the certificate of ${peer}; they alone are trusted. None: those that Node.js knows.`,
      format: path,
      default: null,
      namesSecret: true,
    },
    CLIENT_CERT: {
      doc: `PEM file of the certificate that we show to ${peer}; goes with \`${prefix}_CLIENT_KEY\`.`,
      format: path,
      default: null,
      namesSecret: true,
    },
    CLIENT_KEY: {
      doc: 'PEM file of the key of that certificate, not encrypted.',
      format: path,
      default: null,
      namesSecret: true,
    },
    TLS_SERVER_NAME: {
      doc: `Name that the certificate of ${peer} must carry, when it is not that of the address.`,
      format: text,
      default: null,
    },
  };
  // `endings` are all the keys that the type has.
  return Object.fromEntries(
    endings.map((ending) => [`${prefix}_${ending}`, declared[ending]]),
  ) as unknown as TlsSettings<P>;
}

/** Nothing set, under the names that the settings of that prefix have. */
export function noTls(prefix: string): TlsOptions {
  const names = {
    caFile: `${prefix}_CACERT`,
    certFile: `${prefix}_CLIENT_CERT`,
    keyFile: `${prefix}_CLIENT_KEY`,
    serverName: `${prefix}_TLS_SERVER_NAME`,
  };
  return { caFile: null, certFile: null, keyFile: null, serverName: null, names };
}

/** What the settings of that prefix say. */
export function readTlsOptions(values: Readonly<Record<string, unknown>>, prefix: string): TlsOptions {
  const { names } = noTls(prefix);
  const read = (name: string): string | null => {
    const value = values[name];
    return typeof value === 'string' ? value : null;
  };
  return {
    caFile: read(names.caFile),
    certFile: read(names.certFile),
    keyFile: read(names.keyFile),
    serverName: read(names.serverName),
    names,
  };
}
