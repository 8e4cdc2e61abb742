import { once } from 'node:events';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { makeAuthority, makeCertificate, withoutOpenssl, type Certificate } from '@hydrant/testing/certificates';
import { testFolder } from '@hydrant/testing/test-folder';
import t, { type Test } from 'tap';
import { parseNomadAddress } from './address.ts';
import type { NomadAccess } from './nomad-access.ts';
import { createNomadClient } from './nomad-http-client.ts';

const skip = withoutOpenssl;
const forever = new AbortController().signal;
const anonymous: NomadAccess = {
  token: null,
  tokenFile: null,
  httpAuth: null,
  caFile: null,
  caFolder: null,
  certFile: null,
  keyFile: null,
  serverName: null,
  skipVerify: false,
};
const serverName = 'server.global.nomad';

interface Secured {
  readonly folder: string;
  readonly authority: Certificate;
  readonly other: Certificate;
  readonly client: Certificate;
  /** `works`, or the error's code. */
  ask(access: Partial<NomadAccess>): Promise<string>;
  explain(access: Partial<NomadAccess>): Promise<string>;
}

async function startSecured(t: Test, { wantsClient }: { readonly wantsClient: boolean }): Promise<Secured> {
  const folder = testFolder(t, {});
  const authority = makeAuthority(folder, 'authority');
  const other = makeAuthority(folder, 'other');
  const { key, cert } = makeCertificate(folder, 'server', authority, [`DNS:${serverName}`]);
  const server = createServer(
    { key, cert, ca: authority.cert, requestCert: wantsClient, rejectUnauthorized: wantsClient },
    (_request, response) => {
      response.end('{}\n');
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  const address = parseNomadAddress(`https://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  if (address === undefined) throw new Error('Expected an address');
  const open = async (access: Partial<NomadAccess>): Promise<void> => {
    const stream = await createNomadClient({ ...anonymous, ...access }).stream(address, '/v1/event/stream', forever);
    stream.close();
  };
  return {
    folder,
    authority,
    other,
    client: makeCertificate(folder, 'client', authority, ['DNS:client']),
    ask: (access) =>
      open(access).then(
        () => 'works',
        (thrown: unknown) => errorCode(thrown) ?? describeError(thrown),
      ),
    explain: (access) => open(access).then(() => 'works', describeError),
  };
}

t.test('Nomad is verified by the authority and the name that were set, and by nothing else', { skip }, async (t) => {
  const { folder, authority, other, ask, explain } = await startSecured(t, { wantsClient: false });
  const [good, bad] = [`${folder}/good`, `${folder}/bad`];
  for (const path of [good, `${good}/below`, bad]) mkdirSync(path);
  copyFileSync(other.certFile, `${good}/other.crt`);
  writeFileSync(`${good}/README`, 'the authorities of this cluster');
  copyFileSync(authority.certFile, `${good}/below/authority.pem`);
  symlinkSync('below', `${good}/link`);
  copyFileSync(other.certFile, `${bad}/other.pem`);

  const cases: readonly (readonly [string, Partial<NomadAccess>, string])[] = [
    ['file', { caFile: authority.certFile, serverName }, 'works'],
    ['folder, with all below it', { caFolder: good, serverName }, 'works'],
    ['folder without that authority', { caFolder: bad, serverName }, 'nomad-tls'],
    ['the file wins over the folder', { caFile: other.certFile, caFolder: good, serverName }, 'nomad-tls'],
    [
      'the file wins over the folder, the other way round',
      { caFile: authority.certFile, caFolder: bad, serverName },
      'works',
    ],
    ['neither', { serverName }, 'nomad-tls'],
    ['another name', { caFile: authority.certFile }, 'nomad-tls'],
    ['not verified', { skipVerify: true }, 'works'],
  ];
  for (const [what, access, expected] of cases) t.equal(await ask(access), expected, what);
  t.match(await explain({ serverName }), /NOMAD_CACERT or NOMAD_CAPATH/u);
  t.match(await explain({ caFile: authority.certFile }), /ERR_TLS_CERT_ALTNAME_INVALID.*NOMAD_TLS_SERVER_NAME/u);
});

t.test('a certificate that cannot be used is named with its setting', { skip }, async (t) => {
  const { folder, ask, explain } = await startSecured(t, { wantsClient: false });
  const empty = `${folder}/empty`;
  mkdirSync(empty);
  writeFileSync(`${folder}/words`, 'no certificate');
  writeFileSync(`${folder}/broken`, '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');

  const cases: readonly (readonly [Partial<NomadAccess>, RegExp])[] = [
    [{ caFile: `${folder}/missing` }, /`NOMAD_CACERT` names.*missing.*ENOENT/u],
    [{ caFolder: `${folder}/missing` }, /`NOMAD_CAPATH` names.*missing.*ENOENT/u],
    [{ caFolder: empty }, /Expected `NOMAD_CAPATH` to hold at least one certificate.*empty/u],
    [{ caFile: `${folder}/words` }, /Expected `NOMAD_CACERT` to hold at least one certificate.*words/u],
    [{ caFile: `${folder}/broken` }, /certificates of `NOMAD_CACERT`.*broken one in .*\/broken/u],
    [{ certFile: `${folder}/missing`, keyFile: `${folder}/client-key.pem` }, /`NOMAD_CLIENT_CERT` names/u],
  ];
  for (const [access, message] of cases) {
    t.match(await explain(access), message);
    t.equal(await ask(access), 'nomad-credentials');
  }
});

t.test('Nomad gets the client certificate that it asks for', { skip }, async (t) => {
  const { authority, other, client, ask, explain } = await startSecured(t, { wantsClient: true });
  const access = { caFile: authority.certFile, serverName };

  t.equal(await ask({ ...access, certFile: client.certFile, keyFile: client.keyFile }), 'works');
  for (const wrong of [access, { ...access, certFile: other.certFile, keyFile: other.keyFile }])
    t.match(await ask(wrong), /^nomad-(?:tls|unreachable)$/u);
  t.match(await explain(access), /NOMAD_CLIENT_CERT/u);
  t.match(
    await explain({ ...access, certFile: client.certFile, keyFile: other.keyFile }),
    /NOMAD_CLIENT_CERT, NOMAD_CLIENT_KEY/u,
    'a key that does not fit',
  );
});
