import { PassThrough } from 'node:stream';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import type { Health } from './admin/health.ts';
import { examineComponent, runDoctor, type Examination } from './doctor.ts';

const never = new AbortController().signal;

async function run(
  examinations: readonly Examination[],
  options: { readonly signal?: AbortSignal; readonly limitMs?: number } = {},
): Promise<{ lines: string[]; error: unknown }> {
  const out = new PassThrough();
  const error: unknown = await runDoctor(examinations, { out, clock: systemClock, signal: never, ...options }).catch(
    (thrown: unknown) => thrown,
  );
  return { lines: ((out.read() as Buffer | null)?.toString() ?? '').split('\n').filter((line) => line !== ''), error };
}

function well(subject: string): Examination {
  return { subject, advice: 'none', examine: () => Promise.resolve([{ subject, isWell: true, detail: 'fine' }]) };
}

t.test('each finding is a line, and all that is well is no error', async (t) => {
  const { lines, error } = await run([
    well('nomad'),
    {
      ...well('rabbitmq'),
      examine: () =>
        Promise.resolve([
          { subject: 'rabbitmq', isWell: true, detail: 'up' },
          { subject: 'queue a', isWell: true, detail: 'is there' },
        ]),
    },
  ]);

  t.strictSame(lines, ['ok    nomad: fine', 'ok    rabbitmq: up', 'ok    queue a: is there']);
  t.equal(error, undefined);
});

t.test('what is not well is told with what to do, and counted in the error', async (t) => {
  const { lines, error } = await run([
    { subject: 'redis', advice: 'is it running?', examine: () => Promise.reject(new Error('ECONNREFUSED')) },
    well('nomad'),
  ]);

  t.strictSame(lines, ['FAIL  redis: ECONNREFUSED; is it running?', 'ok    nomad: fine']);
  t.match(error, { code: 'doctor-findings', message: /1 of 2 are not/u });
});

t.test('one that gives no answer holds up nobody for longer than the limit', async (t) => {
  const deaf: Examination = { subject: 'sink', advice: 'look at it', examine: () => new Promise(() => undefined) };
  const late: Examination = {
    subject: 'bus',
    advice: 'look at that',
    examine: (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener(
          'abort',
          () => {
            reject(signal.reason as Error);
          },
          { once: true },
        );
      }),
  };

  const { lines } = await run([deaf, late], { limitMs: 20 });

  t.strictSame(lines, [
    'FAIL  sink: no answer within 0.02 s; look at it',
    'FAIL  bus: no answer within 0.02 s; look at that',
  ]);
});

t.test('a signal ends it', async (t) => {
  const { lines, error } = await run(
    [{ subject: 'sink', advice: 'look', examine: () => new Promise(() => undefined) }],
    { signal: AbortSignal.abort() },
  );

  t.match(lines, [/^FAIL {2}sink: was not asked to the end/u]);
  t.match(error, { code: 'doctor-findings' });
});

t.test('a component is started, asked when it is up, and stopped whatever happens', async (t) => {
  const said: string[] = [];
  let health: Health = { status: 'fail', detail: 'Not connected to amqp://here' };
  const component = {
    name: 'bus',
    start: () => {
      said.push('start');
      return Promise.resolve();
    },
    stop: () => {
      said.push('stop');
      return Promise.resolve();
    },
  };
  const make = (also: () => Promise<never>): Examination =>
    examineComponent('rabbitmq', component, [{ name: 'x', check: () => health }], {
      advice: 'is it running?',
      clock: systemClock,
      also,
    });

  const down = await run([make(() => Promise.reject(new Error('is not asked')))], { limitMs: 100 });
  health = { status: 'pass', detail: 'Connected' };
  const failing = await run([make(() => Promise.reject(new Error('channel closed')))]);

  t.strictSame(down.lines, ['FAIL  rabbitmq: Not connected to amqp://here; is it running?']);
  t.strictSame(failing.lines, ['FAIL  rabbitmq: channel closed; is it running?']);
  t.strictSame(said, ['start', 'stop', 'start', 'stop']);
});
