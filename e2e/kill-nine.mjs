/**
 * `make kill-nine`: a firehose under load is killed with -9 at random moments, at its start too, and then every event
 * that Nomad sent has to be in the queue, byte for byte. `SPOOL=true` gives it a spool folder and lets the broker stand
 * still now and then, so that there is something in it.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { startSimulator } from '@hydrant/simulator/simulator';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { createRandom } from './dist/chaos/random.js';

const eventsPerSecond = 200;
/** More than are made: what Nomad drops is another promise. */
const bufferSize = 200_000;
const longestStartMs = 2_000;
const longestLifeMs = 2_000;
const readingMs = 60_000;
const arrivalMs = 180_000;
const firehose = fileURLToPath(new URL('../services/firehose/dist/main.js', import.meta.url));
const forever = new AbortController().signal;

const say = (text) => process.stdout.write(`${text}\n`);
const hashOf = (bytes) => createHash('sha256').update(bytes).digest('base64');

/**
 * Reads the same stream on a connection of its own: what it saw is what there was. The load has one event in a frame.
 */
async function witness(url, seen) {
  const response = await fetch(`${url}/v1/event/stream?topic=Allocation&namespace=*&index=0`);
  for await (const line of createInterface({ input: Readable.fromWeb(response.body) })) {
    if (line.startsWith('{"Events":[')) seen.add(hashOf(Buffer.from(line.slice(11, line.lastIndexOf('],"Index":')))));
  }
}

async function subscribe(t, url, queued) {
  const bus = createAmqpBus({
    urls: [url],
    exchange: 'nomad',
    connectionName: 'kill-nine',
    log: testLog(),
    clock: systemClock,
  });
  await bus.start(forever);
  t.onEnd(() => bus.stop(AbortSignal.timeout(5_000)));
  await bus.subscribe(
    {
      name: 'kill-nine',
      bindings: ['event.#'],
      prefetch: 2_000,
      maxHeldBytes: 64 * 1024 * 1024,
      consumer: 'kill-nine',
    },
    ({ message }) => {
      if (message.headers.origin === 'stream') {
        const hash = hashOf(message.body);
        queued.set(hash, (queued.get(hash) ?? 0) + 1);
      }
      return Promise.resolve({ action: 'ack' });
    },
    forever,
  );
}

function startFirehose(t, settings) {
  const child = spawn(process.execPath, [firehose], {
    env: { PATH: process.env.PATH, HTTP_PORT: '0', LOG_LEVEL: 'warn', ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.child = child;
  child.stderr.setEncoding('utf8').on('data', (text) => {
    t.log = (t.log + text).slice(-20_000);
  });
  return child;
}

async function kill(child) {
  child.kill('SIGKILL');
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
}

/** Until the firehose reads, beside the witness. */
async function whenReading(t, { simulator, child }) {
  for (const limit = Date.now() + readingMs; simulator.state.clients < 2; await sleep(10)) {
    if (child.exitCode !== null || Date.now() > limit)
      throw new Error(`Expected the firehose to read the stream; its log:\n${t.log}`);
  }
}

/** Lives and deaths, every fourth at the start; the last one lives on. */
async function runRounds(t, { rounds, random, broker, simulator, settings, withSpool }) {
  for (let round = 0; round < rounds; round += 1) {
    const child = startFirehose(t, settings);
    const isStill = withSpool && random() < 0.3;
    if (isStill) broker.freeze();
    const isAtStart = random() < 0.25;
    if (!isAtStart) await whenReading(t, { simulator, child });
    await sleep(random() * (isAtStart ? longestStartMs : longestLifeMs));
    if (child.exitCode !== null)
      throw new Error(`Expected the firehose to run until it is killed, it ended with ${child.exitCode}:\n${t.log}`);
    await kill(child);
    if (isStill) broker.thaw();
  }
  startFirehose(t, settings);
}

async function whenAllQueued({ seen, queued }) {
  const limit = Date.now() + arrivalMs;
  for (;;) {
    const missing = [...seen].filter((hash) => !queued.has(hash));
    if (missing.length === 0 || Date.now() > limit) return missing.length;
    await sleep(250);
  }
}

async function main(t) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: '' },
      spool: { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds);
  const seed = values.seed === '' ? Math.floor(Math.random() * 1_000_000) : Number(values.seed);
  say(`seed ${seed}, ${rounds} rounds, ${values.spool ? 'spool in a folder' : 'spool in memory'}`);

  const simulator = await startSimulator({ load: { eventsPerSecond }, paused: true, bufferSize });
  t.onEnd(() => simulator.close());
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  t.onEnd(() => Promise.all([broker.close(), redis.close()]));
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-kill-nine-'));
  t.onEnd(() => rm(folder, { recursive: true, force: true }));
  const seen = new Set();
  const queued = new Map();
  await subscribe(t, broker.url, queued);
  witness(simulator.url, seen).catch(() => undefined);

  const settings = {
    NOMAD_ADDR: simulator.url,
    AMQP_CONNECTION: broker.url,
    REDIS_URL: redis.url,
    FIREHOSE_TOPICS: 'Allocation',
    ...(values.spool ? { FIREHOSE_SPOOL_DIR: join(folder, 'spool') } : {}),
  };
  simulator.control.resume();
  await runRounds(t, { rounds, random: createRandom(seed), broker, simulator, settings, withSpool: values.spool });
  simulator.control.pause();
  const { events } = simulator.state;
  while (seen.size < events) await sleep(50);
  say(`${rounds} kills done, waiting for the queue`);
  const missing = await whenAllQueued({ seen, queued });

  const repeats = [...queued.values()].reduce((sum, count) => sum + count - 1, 0);
  const foreign = [...queued.keys()].filter((hash) => !seen.has(hash)).length;
  say(
    `${events} events sent, ${queued.size} different ones in the queue, ${repeats} repeats, ${foreign} that were never sent`,
  );
  if (missing > 0) say(t.log);
  say(`${rounds} kills, seed ${seed}: ${missing} events missing`);
  return missing === 0 && foreign === 0 ? 0 : 1;
}

const endings = [];
const t = {
  log: '',
  child: undefined,
  onEnd: (action) => {
    endings.unshift(action);
  },
};
process.once('exit', () => t.child?.kill('SIGKILL'));
let code = 1;
try {
  code = await main(t);
} finally {
  if (t.child !== undefined) await kill(t.child);
  for (const end of endings) await end();
}
process.exit(code);
