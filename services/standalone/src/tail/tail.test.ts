import { PassThrough } from 'node:stream';
import { readFirehoseOptions, nomadSettings, streamSettings } from '@hydrant/firehose/config';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { describeEvent, formatEventLine } from './describe-event.ts';
import { tail } from './tail-command.ts';
import { readTailRequest } from './tail-request.ts';

interface Run {
  readonly lines: () => string[];
  readonly notes: string[];
  stop(): Promise<void>;
}

async function simulate(t: Test, options: Parameters<typeof startSimulator>[0] = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  t.teardown(() => simulator.close());
  return simulator;
}

function run(t: Test, url: string, args: readonly string[], env: Record<string, string> = {}): Run {
  const config = loadConfig({ ...nomadSettings, ...streamSettings }, { env: { NOMAD_ADDR: url, ...env } });
  const out = new PassThrough();
  const chunks: string[] = [];
  out.on('data', (chunk: Buffer) => {
    chunks.push(chunk.toString());
  });
  const stopping = new AbortController();
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
  };
  const running = tail(readFirehoseOptions(config), readTailRequest(args), {
    out: createLineWriter(out),
    withColours: false,
    note,
    clock: systemClock,
    signal: stopping.signal,
  });
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  t.teardown(stop);
  return {
    lines: () =>
      chunks
        .join('')
        .split('\n')
        .filter((line) => line !== ''),
    notes,
    stop,
  };
}

t.test('a crash is a line that says what happened to which task', async (t) => {
  const simulator = await simulate(t);
  const { lines, notes, stop } = run(t, simulator.url, ['--oldest', '--topic', 'Allocation']);

  const line = await eventually(() => lines().find((each) => each.includes(': Restarting (')));

  t.match(
    line,
    /^\d\d:\d\d:\d\d\.\d{3} {2}Allocation\/\w+ +\S+ {2}[0-9a-f]{8} {2}group \S+, \w+.*: Restarting \(.+\)/u,
  );
  t.match(notes, [`reading from ${simulator.url}`]);
  await stop();
});

t.test('filters by topic, job and namespace hold', async (t) => {
  const simulator = await simulate(t);
  const json = ['--oldest', '--json'];
  const read = async (
    args: readonly string[],
  ): Promise<{ Topic: string; Namespace: string; FilterKeys: string[] | null; Key: string }[]> => {
    const { lines, stop } = run(t, simulator.url, [...json, ...args]);
    await eventually(() => lines().length > 3);
    await stop();
    return lines().map(
      (line) => JSON.parse(line) as { Topic: string; Namespace: string; FilterKeys: string[] | null; Key: string },
    );
  };
  const [first] = await read(['--topic', 'Job']);
  const job = first?.Key ?? '';

  t.ok(
    (await read(['--topic', 'Job,Evaluation'])).every(({ Topic: topic }) => topic === 'Job' || topic === 'Evaluation'),
  );
  t.ok(
    (await read(['--namespace', 'default'])).every(
      ({ Namespace: namespace }) => namespace === 'default' || namespace === '',
    ),
  );
  const ofJob = await read(['--job', `${job.slice(0, -1)}*`]);
  t.ok(
    ofJob.every(({ Topic: topic, Key: key, FilterKeys: keys }) =>
      (topic === 'Job' ? key : (keys?.[0] ?? '')).startsWith(job.slice(0, -1)),
    ),
  );
});

t.test('events come once each over a reconnect, byte for byte with --json', async (t) => {
  const simulator = await simulate(t);
  const { lines, notes, stop } = run(t, simulator.url, ['--oldest', '--json']);
  await eventually(() => lines().length > 100);
  const before = lines().length;

  simulator.control.cut();
  await eventually(() => notes.filter((note) => note.startsWith('reading')).length === 2);
  await stop();

  t.equal(lines().length, new Set(lines()).size);
  t.ok(lines().length >= before);
});

t.test('a refusal is told with its reason', async (t) => {
  const simulator = await simulate(t, { token: 'right' });
  const { notes, stop } = run(t, simulator.url, [], { NOMAD_TOKEN: 'wrong' });

  await eventually(() => notes.some((note) => /refuses the stream: the token itself is refused/u.test(note)));
  await stop();
});

t.test('the command line says what is wrong with it', (t) => {
  t.match(readTailRequest(['--topic', 'Job,Node', '--topic', 'Job']), { topics: ['Job', 'Node'] });
  for (const args of [['--topic', 'Job:web'], ['--topic', ''], ['--what'], ['web']])
    t.throws(() => readTailRequest(args), { code: 'arguments-invalid' }, args.join(' '));
  t.end();
});

t.test('colours are for terminals, and nothing of an event steers one', (t) => {
  const line = describeEvent({
    Topic: 'Job',
    Type: 'JobRegistered',
    Payload: {
      Job: {
        ID: 'web\u001b[2J',
        Type: 'service',
        Version: 3,
        Status: 'running',
        SubmitTime: 1_700_000_000_123_456_789,
      },
    },
  });

  t.equal(
    formatEventLine(line, { nowMs: 0, withColours: false }),
    '22:13:20.123  Job/JobRegistered             web\\u001b[2J  service, version 3, running',
  );
  t.match(formatEventLine(line, { nowMs: 0, withColours: true }), '\u001b[1mweb');
  t.equal(formatEventLine(describeEvent({}), { nowMs: 0, withColours: false }), '00:00:00.000  /');
  t.end();
});
