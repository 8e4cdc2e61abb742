/**
 * What every sink must do. Each sink's test runs it over a destination of its own; `create` is called once per
 * behaviour.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import { describeError, errorCode, isRetryable } from '../foundation/errors.ts';
import type { Message } from '../messages/message.ts';
import type { PartialFailure, Sink, SinkPartialError } from './sink.ts';

/** What a test can make a destination do. */
export type Lever = 'breakDown' | 'stall' | 'refuse' | 'refuseOne';

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
  /** From now on the destination refuses every message for good, until `mend`. */
  refuse?(): void | Promise<void>;
  /** From now on the destination takes every message but that of this body, until `mend`. */
  refuseOne?(body: string): void | Promise<void>;
}

export interface SinkUnderTest {
  readonly name: string;
  create(t: Test): Promise<SinkFixture>;
  /** Levers that the fixture has not, each with the reason for which its destination cannot do that. */
  readonly without?: Readonly<Partial<Record<Lever, string>>>;
  /** For destinations that do not get the message itself: what they get of it. */
  arrivesAs?(message: Message): string;
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

function bodyOf(message: Message): string {
  return message.body.toString('utf8');
}

export function sinkContract(t: Test, { name, create, without = {}, arrivesAs = bodyOf }: SinkUnderTest): void {
  const textsOf = (batch: readonly Message[]): readonly string[] => batch.map(arrivesAs);

  void t.test(`${name}: what is written arrives, bytes unchanged and in order`, async (t) => {
    const { sink, arrived } = await open(t, create);
    const [first, second] = [makeBatch(1, 50), makeBatch(51, 1)];

    await sink.write(first, never);
    await sink.write(second, never);

    t.same(await arrived(), textsOf([...first, ...second]));
  });

  void t.test(`${name}: a message with line breaks stays one`, async (t) => {
    const { sink, arrived } = await open(t, create);
    const broken = makeSinkMessage(2, {
      body: Buffer.from(JSON.stringify({ a: [1, { b: 'text' }] }, null, 2).replaceAll('\n', '\r\n')),
    });

    await sink.write([makeSinkMessage(1), broken, makeSinkMessage(3)], never);

    const bodies = await arrived();
    t.equal(bodies.length, 3);
    t.same(JSON.parse(bodies[1] ?? ''), JSON.parse(arrivesAs(broken)));
  });

  void t.test(`${name}: the health of a destination that works is good, and closing twice is fine`, async (t) => {
    const { sink } = await open(t, create);

    await t.resolves(sink.healthcheck(never));
    await sink.close();
    await t.resolves(sink.close());
  });

  void t.test(`${name}: a destination that is down is worth another try`, async (t) => {
    if (isWithout(t, without.breakDown)) return;
    const { sink, arrived, breakDown, mend } = await open(t, create);
    const batch = makeBatch(1, 3);

    await pull(breakDown, 'breakDown')();
    const error = await thrownBy(sink.write(batch, never));
    t.ok(error !== undefined && isRetryable(error), describeError(error));
    await pull(mend, 'mend')();
    await eventually(() => sink.write(batch, never).then(() => true));

    t.same(new Set(await arrived()), new Set(textsOf(batch)));
  });

  void t.test(`${name}: a write ends when its time is up`, async (t) => {
    if (isWithout(t, without.stall)) return;
    const { sink, stall } = await open(t, create);
    const limit = new AbortController();

    await pull(stall, 'stall')();
    const writing = thrownBy(sink.write(makeBatch(1, 3), limit.signal));
    limit.abort();

    const error = await writing;
    t.ok(error !== undefined && isRetryable(error), `${String(errorCode(error))}: ${describeError(error)}`);
  });

  void t.test(`${name}: what is refused for good is not tried again, and what follows is taken`, async (t) => {
    if (isWithout(t, without.refuse)) return;
    const { sink, arrived, refuse, mend } = await open(t, create);

    await pull(refuse, 'refuse')();
    const error = await thrownBy(sink.write([makeSinkMessage(1)], never));
    const failures = failuresOf(error);
    t.ok(
      failures === undefined
        ? error !== undefined && !isRetryable(error)
        : failures.length === 1 && failures.every(({ retryable }) => !retryable),
      describeError(error),
    );
    await pull(mend, 'mend')();
    await sink.write(makeBatch(2, 2), never);

    t.same(await arrived(), textsOf(makeBatch(2, 2)));
  });

  void t.test(`${name}: of a batch that is taken in part the rest is named, and nothing else`, async (t) => {
    if (isWithout(t, without.refuseOne)) return;
    const { sink, arrived, refuseOne, mend } = await open(t, create);
    const batch = makeBatch(1, 3);
    const bodies = textsOf(batch);

    await pull(refuseOne, 'refuseOne')(bodies[1] ?? '');
    const error = await thrownBy(sink.write(batch, never));
    const failed = (failuresOf(error) ?? []).map(({ index }) => index);
    t.ok(failed.includes(1) && !failed.includes(0), `failed: ${failed.join(', ')}: ${describeError(error)}`);
    t.same(new Set(await arrived()), new Set(bodies.filter((_body, index) => !failed.includes(index))));
    await pull(mend, 'mend')();
    await sink.write(
      batch.filter((_message, index) => failed.includes(index)),
      never,
    );

    t.same([...(await arrived())].sort(), [...bodies].sort());
  });
}

function isWithout(t: Test, reason: string | undefined): boolean {
  if (reason !== undefined) t.pass(`not here: ${reason}`);
  return reason !== undefined;
}

function pull<L>(lever: L | undefined, name: string): L {
  if (lever === undefined)
    throw new Error(`Expected the fixture to have \`${name}\`, or \`without\` to say why it has not`);
  return lever;
}

function thrownBy(writing: Promise<void>): Promise<unknown> {
  return writing.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

/** Undefined unless the error names what failed. */
function failuresOf(error: unknown): readonly PartialFailure[] | undefined {
  return errorCode(error) === 'sink-partial' ? (error as SinkPartialError).failures : undefined;
}

async function open(t: Test, create: SinkUnderTest['create']): Promise<SinkFixture> {
  const fixture = await create(t);
  await fixture.sink.connect(never);
  t.teardown(() => fixture.sink.close());
  return fixture;
}
