import t from 'tap';
import { explainTls } from './explain-tls.ts';
import { readTlsOptions } from './tls-settings.ts';

const options = readTlsOptions(
  { SINK_HTTP_CACERT: null, SINK_HTTP_CLIENT_CERT: null, SINK_HTTP_CLIENT_KEY: null, SINK_HTTP_TLS_SERVER_NAME: null },
  'SINK_HTTP',
);

t.test('a refusal of our certificate is known by the names that each version of OpenSSL has for it', async (t) => {
  for (const name of [
    'SSLV3_ALERT_CERTIFICATE_EXPIRED',
    'SSL/TLS_ALERT_CERTIFICATE_EXPIRED',
    'TLSV1_ALERT_UNKNOWN_CA',
    'TLSV13_ALERT_CERTIFICATE_REQUIRED',
  ]) {
    const thrown = new Error('outer', { cause: Object.assign(new Error('refused'), { code: `ERR_SSL_${name}` }) });
    t.match(
      explainTls(thrown, options, Date.UTC(2026, 0)),
      /^the server wants a client certificate: set SINK_HTTP_CLIENT_CERT/u,
      name,
    );
  }
  t.equal(explainTls(new Error('something else'), options, 0), undefined);
});
