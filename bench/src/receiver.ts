/**
 * The destination of the measurements, in a process of its own: takes JSON arrays of events, as many milliseconds for
 * each as its argument says, counts them by the header that marks an event's end of payload, and answers GET with the
 * count. Counting is by `"Topic":` at the top of each event, without parsing, so that it is never the slowest part.
 */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';

const marker = Buffer.from('"Topic":"');
const delayMs = Number(process.argv[2] ?? 0);
let events = 0;

function count(body: Buffer): number {
  let found = 0;
  for (let at = body.indexOf(marker); at !== -1; at = body.indexOf(marker, at + marker.length)) found += 1;
  return found;
}

/** 200, because there are forwarders that take nothing else for success. */
function accept(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '0' }).end();
}

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(String(events));
    return;
  }
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    events += count(Buffer.concat(parts));
    if (delayMs === 0) accept(response);
    else
      setTimeout(() => {
        accept(response);
      }, delayMs);
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
if (address === null || typeof address === 'string') throw new Error('Expected a TCP address from a server on port 0');
process.stdout.write(`listens at http://127.0.0.1:${String(address.port)}\n`);
