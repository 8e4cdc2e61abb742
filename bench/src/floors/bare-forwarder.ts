/**
 * Floor of standalone: reads the stream, splits it into lines, posts arrays of 500 lines, four requests at once. No
 * parsing, no disk, no retry. Arguments: Nomad's URL, destination, number of events. Ends when all were answered.
 */
import { Agent, request } from 'undici';

const [nomad, destination, count] = process.argv.slice(2);
if (nomad === undefined || destination === undefined || count === undefined)
  throw new Error('Expected three arguments: Nomad, destination, number of events');
const total = Number(count);
const batchSize = 500;
const concurrency = 4;
const dispatcher = new Agent({ bodyTimeout: 0 });
const comma = Buffer.from(',');

const pending = new Set<Promise<void>>();
let batch: Buffer[] = [];
let forwarded = 0;

async function post(lines: readonly Buffer[]): Promise<void> {
  const parts: Buffer[] = [Buffer.from('[')];
  for (const [position, line] of lines.entries()) parts.push(...(position === 0 ? [line] : [comma, line]));
  parts.push(Buffer.from(']'));
  const response = await request(destination ?? '', {
    method: 'POST',
    dispatcher,
    headers: { 'content-type': 'application/json' },
    body: Buffer.concat(parts),
  });
  await response.body.dump();
}

async function flush(): Promise<void> {
  const sending = post(batch);
  batch = [];
  pending.add(sending);
  void sending.finally(() => pending.delete(sending));
  if (pending.size >= concurrency) await Promise.race(pending);
}

async function forward(line: Buffer): Promise<void> {
  if (line.length < 3) return;
  batch.push(line);
  forwarded += 1;
  if (batch.length === batchSize || forwarded === total) await flush();
}

const response = await request(`${nomad}/v1/event/stream?topic=Allocation&namespace=*`, { dispatcher });
process.stdout.write('ready\n');
let rest: Buffer = Buffer.alloc(0);
for await (const chunk of response.body as AsyncIterable<Buffer>) {
  let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  let start = 0;
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
    await forward(bytes.subarray(start, end));
    start = end + 1;
  }
  bytes = bytes.subarray(start);
  rest = Buffer.from(bytes);
  if (forwarded >= total) break;
}
await Promise.all(pending);
process.exit(0);
