import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { permanent } from '@hydrant/shared/delivery/sink';
import t from 'tap';
import { publishEach } from '../waiting/publish-each.ts';
import { encodeOrRefuse } from './encode-or-refuse.ts';

void t.test('what cannot be encoded is refused, not tried again', (t) => {
  t.equal(
    encodeOrRefuse(() => 5),
    5,
  );
  t.throws(() => encodeOrRefuse(() => encodeURIComponent('\ud800')), {
    code: 'sink-permanent',
    message: /URI malformed. This is a bug in Hydrant/u,
  });
  t.throws(
    () =>
      encodeOrRefuse(() => {
        throw permanent('too long');
      }),
    { code: 'sink-permanent', message: 'too long' },
  );
  t.end();
});

void t.test('a message whose publishing throws is named by itself, the others are taken', async (t) => {
  const batch = [1, 2, 3].map((n) => makeSinkMessage(n));
  const publish = (message: (typeof batch)[number]) =>
    message === batch[1] ? Promise.reject(permanent('not this one')) : Promise.resolve(undefined);

  const error = await publishEach(batch, {
    publish,
    mostInFlight: 2,
    silence: 'silent',
    signal: new AbortController().signal,
  }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );

  t.match(error, { code: 'sink-partial', failures: [{ index: 1, reason: 'not this one', retryable: false }] });
});
