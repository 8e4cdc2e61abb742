/**
 * Promise 4: one message that can never be delivered stops nothing: its batch is split until it stands alone. It lies
 * with the dead letters, with the reason, and is delivered once the destination accepts it.
 */
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { isLongForm } from '../src/form.ts';
import { listDeadLetters, replayDeadLetters } from '../src/dead-letters.ts';
import { hashOf } from '../src/event-hashes.ts';
import { setStage, shapeNames, type Stage } from '../src/stage.ts';

const total = 5_000;
const oneIn = 1_000;

/** The load generator writes the number of an event into the last eight digits of its allocation's id. */
function isPoison(event: Buffer): boolean {
  const [, digits] = /"Key":"[0-9a-f-]{28}([0-9a-f]{8})"/u.exec(event.toString('latin1')) ?? [];
  return digits !== undefined && Number.parseInt(digits, 16) % oneIn === oneIn / 2;
}

async function whenArrived(stage: Stage, count: number): Promise<void> {
  await eventually(
    () => {
      if (stage.collector.events.size >= count) return true;
      throw new Error(
        `Expected ${String(count)} events, got ${String(stage.collector.events.size)}\n${stage.shape.processes.map((process) => process.log().slice(-2000)).join('\n')}`,
      );
    },
    { timeoutMs: 120_000, message: `${String(count)} events arrive` },
  );
}

for (const shapeName of shapeNames) {
  if (isLongForm || shapeName === 'standalone')
    void t.test(
      `${shapeName}: delivers all but the poison, which is kept with its reason and delivered by a replay`,
      async (t) => {
        const stage = await setStage(t, shapeName, {
          load: { total, eventsPerFrame: 10 },
          sink: { SINK_BATCH_EVENTS: '100', SINK_RETRY_MIN: '10ms', SINK_RETRY_MAX: '100ms' },
        });
        const { collector, shape } = stage;
        collector.setFailing(3);
        collector.refuseWhere(isPoison);

        await stage.play();
        await whenArrived(stage, total - total / oneIn);
        const letters = await eventually(
          async () => {
            const found = await listDeadLetters(shape);
            return found.length >= total / oneIn && found;
          },
          { timeoutMs: 60_000, message: 'the dead letters to be kept' },
        );

        t.equal(collector.events.size, total - total / oneIn, 'every other event has arrived');
        t.equal(letters.length, total / oneIn, 'nothing else is a dead letter');
        t.ok(letters.every(({ body }) => isPoison(Buffer.from(body))));
        for (const letter of letters)
          t.match(letter, {
            error: /400: refused by the test/u,
            attempts: Number,
            failedAt: /^20\d\d-/u,
            sink: 'http',
            routingKey: /^event\.Allocation\./u,
          });

        collector.refuseWhere(undefined);
        const [first] = letters;
        t.match(
          await replayDeadLetters(shape, '--id', first?.id ?? '', '--dry-run'),
          /1 dead letter of hydrant\.sink\.http would be replayed/u,
        );
        t.match(
          await replayDeadLetters(shape, '--error', '/^Expected .*400/', '--topic', 'Allocation'),
          /5 dead letters of hydrant\.sink\.http were replayed/u,
        );
        await whenArrived(stage, total);
        t.same(await listDeadLetters(shape), []);
        t.equal(collector.events.size, total);
      },
    );
}

for (const shapeName of shapeNames) {
  if (isLongForm)
    void t.test(
      `${shapeName}: what a destination stumbles over again and again, while it takes everything else, is kept too`,
      async (t) => {
        const sink = {
          SINK_BATCH_EVENTS: '50',
          SINK_RETRY_MIN: '50ms',
          SINK_RETRY_MAX: '500ms',
          SINK_POISON_AFTER: '2s',
        };
        const stage = await setStage(t, shapeName, { load: { eventsPerSecond: 500, eventsPerFrame: 10 }, sink });
        const { collector, shape } = stage;
        const stumbled = new Set<string>();
        collector.refuseWhere((event) => {
          if (!isPoison(event) || (stumbled.size >= 3 && !stumbled.has(hashOf(event)))) return false;
          stumbled.add(hashOf(event));
          return true;
        }, 500);

        await stage.play();
        const letters = await eventually(
          async () => {
            const found = await listDeadLetters(shape);
            return found.length >= 3 && found;
          },
          { timeoutMs: 90_000, message: 'three dead letters' },
        );
        const made = stage.endLoad();
        await whenArrived(stage, made - 3);

        t.same(new Set(letters.map(({ body }) => hashOf(Buffer.from(body)))), stumbled);
        for (const letter of letters) t.match(letter, { error: /SINK_POISON_AFTER.*500/u });
        collector.refuseWhere(undefined);
        t.match(
          await replayDeadLetters(shape, '--error', '/500/'),
          /3 dead letters of hydrant\.sink\.http were replayed/u,
        );
        await whenArrived(stage, made);
        t.equal(collector.events.size, made);
        t.same(await listDeadLetters(shape), []);
      },
    );
}
