/**
 * What an image's HEALTHCHECK runs: `node healthcheck.mjs /readyz` asks the server beside it and ends with 0 when that
 * answers 2xx. Stands in the image, with the service's default port in the file `http-port`, and uses nothing but Node.
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';

const [path = '/livez'] = process.argv.slice(2);
const { HTTP_HOST: host = '' } = process.env;
const port = process.env.HTTP_PORT || readFileSync(new URL('http-port', import.meta.url), 'utf8').trim();
const isEveryAddress = ['', '0.0.0.0', '::'].includes(host);

const request = get({ host: isEveryAddress ? '127.0.0.1' : host, port, path, timeout: 4000 }, async (response) => {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  const isWell = response.statusCode >= 200 && response.statusCode < 300;
  process.stdout.write(`${path} ${response.statusCode} ${body.slice(0, 1000)}\n`);
  process.exitCode = isWell ? 0 : 1;
});
request.on('timeout', () => {
  request.destroy(new Error('no answer within 4 s'));
});
request.on('error', (error) => {
  process.stdout.write(`${path} on port ${port}: ${error.message}\n`);
  process.exitCode = 1;
});
