/**
 * TLS of a sink that speaks it to a server of its own protocol, for the sink's test: authority, client certificate, and
 * errors that say what is wrong and what to set.
 */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { describeError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { makeAuthority, makeCertificate, withoutOpenssl, type Certificate } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import type { Test } from 'tap';
import { findSink } from './registry.ts';

export type Env = Readonly<Record<string, string>>;

const never = new AbortController().signal;

export interface Secured {
  readonly authority: Certificate;
  readonly server: Certificate;
  readonly other: Certificate;
  readonly client: Certificate;
  readonly expired: Certificate;
}

/** The server is called `sink.internal`. */
function makeCertificates(t: Test): Secured {
  const folder = testFolder(t, {});
  const authority = makeAuthority(folder, 'authority');
  return {
    authority,
    other: makeAuthority(folder, 'other'),
    server: makeCertificate(folder, 'server', authority, ['DNS:sink.internal']),
    client: makeCertificate(folder, 'client', authority, ['DNS:client']),
    expired: makeCertificate(folder, 'old', authority, ['DNS:client'], -1),
  };
}

function createSink(t: Test, type: string, env: Env): Sink {
  const definition = findSink(type);
  if (definition === undefined) throw new Error(`Expected a sink ${type}`);
  // `check` is given what the schema made.
  const values = loadConfig(definition.settings, {
    env: { ...env },
    check: (given) => definition.check?.(given as Values<Schema>) ?? [],
  });
  const sink = definition.create(values, { log: testLog(), name: type });
  t.teardown(() => sink.close());
  return sink;
}

/** Each wrong setting, and what the error says of it. */
function wrongSettings(
  prefix: string,
  { authority, other, client, expired }: Secured,
): readonly (readonly [string, Env, RegExp])[] {
  const own = {
    [`${prefix}_CLIENT_CERT`]: client.certFile,
    [`${prefix}_CLIENT_KEY`]: client.keyFile,
    [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal',
  };
  const ca = { [`${prefix}_CACERT`]: authority.certFile };
  return [
    ['no authority', own, new RegExp(`not trusted here: set ${prefix}_CACERT`, 'u')],
    [
      'another authority',
      { ...own, [`${prefix}_CACERT`]: other.certFile },
      new RegExp(`not signed by an authority in .*other\\.pem \\(${prefix}_CACERT\\)`, 'u'),
    ],
    [
      'another name',
      { ...own, ...ca, [`${prefix}_TLS_SERVER_NAME`]: 'elsewhere.internal' },
      new RegExp(`for other names .*set ${prefix}_TLS_SERVER_NAME`, 'u'),
    ],
    [
      'no client certificate',
      { ...ca, [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal' },
      new RegExp(`client certificate.*${prefix}_CLIENT_CERT`, 'u'),
    ],
    [
      'an expired client certificate',
      { ...own, ...ca, [`${prefix}_CLIENT_CERT`]: expired.certFile, [`${prefix}_CLIENT_KEY`]: expired.keyFile },
      new RegExp(`our own certificate in .*old\\.pem \\(${prefix}_CLIENT_CERT\\) expired on`, 'u'),
    ],
  ];
}

function goodSettings(prefix: string, { authority, client }: Secured): Env {
  return {
    [`${prefix}_CACERT`]: authority.certFile,
    [`${prefix}_CLIENT_CERT`]: client.certFile,
    [`${prefix}_CLIENT_KEY`]: client.keyFile,
    [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal',
  };
}

/** Until the error says it: what a server has against our certificate may come after the handshake. */
async function whenSaid(sink: Sink, expected: RegExp): Promise<string> {
  let said = '';
  return eventually(
    async () => {
      said = await sink
        .connect(never)
        .then(() => sink.write([makeSinkMessage(1)], never))
        .then(() => 'taken', describeError);
      if (!expected.test(said)) throw new Error(said);
      return said;
    },
    { timeoutMs: 60_000, message: `the error to say ${String(expected)}` },
  );
}

export interface TlsUnderTest {
  /** The value of SINK_TYPE. */
  readonly type: string;
  /** What the names of its settings for TLS begin with. */
  readonly prefix: string;
  /**
   * A server with that certificate, called `sink.internal`, at which clients must show one of that authority; resolves
   * with the settings that lead there, and with what must be in no error.
   */
  start(t: Test, secured: Secured): Promise<{ readonly env: Env; readonly secret: string }>;
}

export async function tlsContract(t: Test, { type, prefix, start }: TlsUnderTest): Promise<void> {
  await t.test(`${type} by TLS`, { skip: withoutOpenssl }, async (t) => {
    const secured = makeCertificates(t);
    const { env: address, secret } = await start(t, secured);

    await t.test('with authority, client certificate and server name messages are taken', async (t) => {
      const sink = createSink(t, type, { ...address, ...goodSettings(prefix, secured) });
      await eventually(() => sink.connect(never).then(() => true), { timeoutMs: 60_000 });

      await t.resolves(sink.write([makeSinkMessage(1)], never));
      await t.resolves(sink.healthcheck(never));
    });

    for (const [name, env, expected] of wrongSettings(prefix, secured)) {
      await t.test(`${name}: the error says what is wrong and what to set`, async (t) => {
        const said = await whenSaid(createSink(t, type, { ...address, ...env }), expected);
        t.notOk(said.includes(secret));
      });
    }
  });
}
