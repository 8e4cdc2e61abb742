/** What a server with accounts and JWTs is shown. */
import { nkeys } from '@nats-io/transport-node';
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError } from '@hydrant/shared/foundation/errors';
import { startPrivateNats } from '@hydrant/testing/private-nats';
import { testFolder } from '@hydrant/testing/test-folder';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { createSink, failuresOf, never } from './nats-cases-contract.ts';

/** As nsc makes them. */
function makeJwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: object): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode({ jti: subject.getPublicKey(), iat: 1_700_000_000, iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: 'test', nats: { ...nats, version: 2 } })}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

export async function testCredentials(t: Test): Promise<void> {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const accounts = [
    makeJwt(operator, system, { type: 'account', limits }),
    makeJwt(operator, account, {
      type: 'account',
      limits: { ...limits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
    }),
  ];
  const jwt = makeJwt(account, user, { type: 'user', pub: {}, sub: {}, subs: -1, data: -1, payload: -1 });
  const preload = `resolver_preload { ${system.getPublicKey()}: "${accounts[0] ?? ''}", ${account.getPublicKey()}: "${accounts[1] ?? ''}" }`;
  const server = await startPrivateNats(t, {
    config: [
      `operator: "${makeJwt(operator, operator, { type: 'operator' })}"`,
      `system_account: ${system.getPublicKey()}`,
      'resolver: MEMORY',
      preload,
    ],
  });
  const seed = Buffer.from(user.getSeed()).toString();
  const file = join(testFolder(t, {}), 'user.creds');
  const sink = createSink(t, server.url, { SINK_NATS_CREDENTIALS_FILE: file });

  await t.rejects(sink.connect(never), {
    code: 'sink-retryable',
    message: /SINK_NATS_CREDENTIALS_FILE.*ENOENT in .*user\.creds/u,
  });
  for (const broken of [
    '',
    `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`,
    `-----BEGIN A-----\n${jwt}\n------END A------\n-----BEGIN B-----\n${seed.slice(0, -4)}AAAA\n------END B------\n`,
  ]) {
    writeFileSync(file, broken);
    const said = await sink.connect(never).then(() => 'let in', describeError);
    t.match(said, /SINK_NATS_CREDENTIALS_FILE.*as nsc writes it, got (?:something else|nkeys: invalid checksum) in/u);
    t.notOk(said.includes(seed));
  }
  for (const end of ['\n', '\r\n']) {
    writeFileSync(
      file,
      [
        '-----BEGIN NATS USER JWT-----',
        jwt,
        '------END NATS USER JWT------',
        '',
        '-----BEGIN USER NKEY SEED-----',
        seed,
        '------END USER NKEY SEED------',
        '',
      ].join(end),
    );
    await t.resolves(createSink(t, server.url, { SINK_NATS_CREDENTIALS_FILE: file }).connect(never));
  }
  await t.resolves(sink.connect(never));
  t.match(await failuresOf(sink.write([makeSinkMessage(1)], never)), [{ retryable: true, reason: /nats stream add/u }]);
}
