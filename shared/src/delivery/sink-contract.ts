/**
 * What every sink must do. Each sink's test runs it over a destination of its own; `create` is called once per behaviour.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import { describeError, errorCode, isRetryable } from '../foundation/errors.ts';
import type { Message } from '../messages/message.ts';
import type { Sink } from './sink.ts';

export interface SinkFixture {
  /** Not connected yet. Closed by the suite. */
  readonly sink: Sink;
  /** The messages that lie at the destination, as JSON texts in the order of their arrival. */
  arrived(): readonly string[] | Promise<readonly string[]>;
  /** From now on the destination takes nothing, until `mend`. */
  breakDown?(): void | Promise<void>;
  mend?(): void | Promise<void>;
  /** From now on the destination neither takes nor refuses, until the test ends. */
  stall?(): void | Promise<void>;
}

export interface SinkUnderTest {
  readonly name: string;
  create(t: Test): Promise<SinkFixture>;
}

const never = new AbortController().signal;

export function makeSinkMessage(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: `default/${String(n)}/Allocation/default/0b3b2f4e/0`,
    routingKey: 'event.Allocation.AllocationUpdated.default.web',
    type: 'nomad.Allocation.AllocationUpdated',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: Date.UTC(2026, 4, 6, 7, 8, 9),
    headers: { cluster: 'default', index: n },
    // A number that does not survive being parsed.
    body: Buffer.from(`{"Index":${String(n)},"Time":1790000000123456789,"Text":"ä\\n\\u2028"}`),
    ...changes,
  };
}

function makeBatch(from: number, count: number): readonly Message[] {
  return Array.from({ length: count }, (_, n) => makeSinkMessage(from + n));
}

function textsOf(batch: readonly Message[]): readonly string[] {
  return batch.map((message) => message.body.toString('utf8'));
}

export function sinkContract(t: Test, { name, create }: SinkUnderTest): void {
  void t.test(`${name}: what is written arrives, bytes unchanged and in order`, async (t) => {
    const { sink, arrived } = await open(t, create);
    const [first, second] = [makeBatch(1, 50), makeBatch(51, 1)];

    await sink.write(first, never);
    await sink.write(second, never);

    t.same(await arrived(), textsOf([...first, ...second]));
  });

  void t.test(`${name}: a message with line breaks stays one`, async (t) => {
    const { sink, arrived } = await open(t, create);
    const value = { a: [1, { b: 'text' }] };

    await sink.write([makeSinkMessage(1), makeSinkMessage(2, { body: Buffer.from(JSON.stringify(value, null, 2).replaceAll('\n', '\r\n')) }), makeSinkMessage(3)], never);

    const bodies = await arrived();
    t.equal(bodies.length, 3);
    t.same(JSON.parse(bodies[1] ?? ''), value);
  });

  void t.test(`${name}: the health of a destination that works is good, and closing twice is fine`, async (t) => {
    const { sink } = await open(t, create);

    await t.resolves(sink.healthcheck(never));
    await sink.close();
    await t.resolves(sink.close());
  });

  void t.test(`${name}: a destination that is down is worth another try`, async (t) => {
    const { sink, arrived, breakDown, mend } = await open(t, create);
    if (breakDown === undefined || mend === undefined) return;
    const batch = makeBatch(1, 3);

    await breakDown();
    const error: unknown = await sink.write(batch, never).then(() => undefined, (thrown: unknown) => thrown);
    t.ok(error !== undefined && isRetryable(error), describeError(error));
    await mend();
    await eventually(() => sink.write(batch, never).then(() => true));

    t.same(new Set(await arrived()), new Set(textsOf(batch)));
  });

  void t.test(`${name}: a write ends when its time is up`, async (t) => {
    const { sink, stall } = await open(t, create);
    if (stall === undefined) return;
    const limit = new AbortController();

    await stall();
    const writing = sink.write(makeBatch(1, 3), limit.signal);
    writing.catch(() => undefined);
    limit.abort();

    const error: unknown = await writing.then(() => undefined, (thrown: unknown) => thrown);
    t.ok(error !== undefined && isRetryable(error), `${String(errorCode(error))}: ${describeError(error)}`);
  });
}

async function open(t: Test, create: SinkUnderTest['create']): Promise<SinkFixture> {
  const fixture = await create(t);
  await fixture.sink.connect(never);
  t.teardown(() => fixture.sink.close());
  return fixture;
}
