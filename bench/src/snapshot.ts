/** How long a first start by snapshot takes: 10,000 allocations in Nomad's list, read in pages and published. */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue } from './broker.ts';
import { startLoad, type Load } from './load.ts';
import { readMetrics, secondsUntil, type Figure, type FigureSource } from './measure.ts';
import { freePort, startService } from './service.ts';
import { summarise } from './statistics.ts';

const allocations = 10_000;
const rounds = 3;
const megabyte = 1_000_000;

interface Round {
  readonly seconds: number;
  readonly peakMemory: number;
}

async function start(brokerUrl: string, load: Load): Promise<Round> {
  const redis = await startPrivateRedis();
  const port = await freePort();
  const startedAt = performance.now();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: brokerUrl,
    REDIS_URL: redis.url,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
    FIREHOSE_START: 'snapshot',
  });
  const seconds = await secondsUntil(allocations, startedAt, async () => {
    const metric = await readMetrics(port);
    return Math.min(
      metric('hydrant_firehose_snapshot_events_total'),
      metric('hydrant_firehose_events_published_total'),
    );
  });
  const peakMemory = await firehose.peakMemory();
  await firehose.stop();
  await redis.close();
  return { seconds, peakMemory };
}

async function measure(): Promise<readonly Figure[]> {
  const [broker, load] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startLoad(allocations, { perSecond: allocations, isListed: true, bufferSize: 100 }),
  ]);
  const queue = await bindQueue(broker.url, 'bench');
  await load.begin();
  await secondsUntil(1, performance.now(), async () => ((await load.state()).finished ? 1 : 0));
  // n.b. the simulator sorts its list at the first question, which is no part of what is measured.
  await fetch(`${load.url}/v1/allocations?namespace=*&per_page=1`);
  const measured: Round[] = [];
  while (measured.length < rounds) measured.push(await start(broker.url, load));
  await Promise.all([load.stop(), queue.remove()]);
  await broker.close();
  const seconds = summarise(measured.map((round) => round.seconds));
  return [
    { name: 'published after, median', value: seconds.median, unit: 's', atMost: 5 },
    { name: 'published after, slowest', value: seconds.max, unit: 's' },
    {
      name: 'firehose VmHWM',
      value: Math.max(...measured.map((round) => round.peakMemory)) / megabyte,
      unit: 'MB',
      atMost: 150,
    },
  ];
}

export function createSnapshot(): FigureSource {
  return {
    name: 'snapshot',
    what: `${allocations.toLocaleString('en-US')} allocations in the list, FIREHOSE_START=snapshot, from the start of the process to the confirm of the last; ${String(rounds)} rounds`,
    measure,
  };
}
