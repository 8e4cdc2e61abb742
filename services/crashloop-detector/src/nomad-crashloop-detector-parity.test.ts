/**
 * The alerts are those of nomad-crashloop-detector's rule, which is written down here again from its source, on what a
 * real nomad-firehose said of a cluster whose tasks crash. Each line marked with n.b. is a difference that
 * docs/moving-from-nomad-crashloop-detector.md names.
 */
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readRecordingFile } from '@hydrant/testing/recordings';
import t from 'tap';
import { buildAlertMessage } from './alerts/build-alert.ts';
import { createPlayedLedger } from './ledger/ledger-cases-contract.ts';
import type { Rule } from './ledger/ledger.ts';
import { readObservations } from './read-observations.ts';

const secondNs = 1_000_000_000n;

/** What was announced, in the words of either program: nanoseconds as text, no number rounded. */
interface Announced {
  readonly name: string;
  readonly lastEvent: string;
  readonly eventLog: readonly string[];
}

interface Restart {
  readonly name: string;
  readonly timeNs: bigint;
  readonly line: string;
}

/** The bytes alone: nothing of what is tested reads them. */
function readRestart(line: string): Restart | undefined {
  // n.b. nomad-crashloop-detector counts restarts without a reason too, which people and templates ask for.
  const [, name, time] =
    /^\{"Name":"([^"]*)".*"TaskEvent":\{"Type":"Restarting","Time":(\d+).*"RestartReason":"[^"]/u.exec(line) ?? [];
  return name === undefined || time === undefined ? undefined : { name, timeNs: BigInt(time), line };
}

/** nomad-firehose's line through nomad-crashloop-detector's struct of 2017: later fields are lost. */
function asLastEvent(line: string): string {
  return line
    .replace(/"NodeID":"[^"]*",/u, '')
    .replace(/"DisplayMessage":"(?:[^"\\]|\\.)*","Details":\{.*?\},(?="FailsTask")/u, '')
    .replace(/,"GenericSource":""/u, '');
}

/** main.go: `receive` for each message, then `process`. */
class NomadCrashloopDetector {
  readonly announced: Announced[] = [];
  readonly #rule: Rule;
  readonly #items = new Map<string, Restart[]>();
  readonly #notifications = new Map<string, bigint>();

  constructor(rule: Rule) {
    this.#rule = rule;
  }

  // n.b. It looks every five seconds; here it looks at once.
  receive(restart: Restart): void {
    this.#items.set(restart.name, [...(this.#items.get(restart.name) ?? []), restart]);
    this.#process(restart.name);
  }

  #process(name: string): void {
    const all = this.#items.get(name) ?? [];
    // n.b. Its clock is the wall's; here it is the newest restart.
    const now = all.reduce((newest, { timeNs }) => (timeNs > newest ? timeNs : newest), 0n);
    const items = all.filter(({ timeNs }) => now - timeNs < BigInt(this.#rule.intervalMs) * 1_000_000n);
    this.#items.set(name, items);
    if (items.length < this.#rule.count) {
      this.#notifications.delete(name);
      return;
    }
    const last = this.#notifications.get(name);
    if (last !== undefined && now - last < BigInt(this.#rule.notificationIntervalMs) * 1_000_000n) return;
    this.#notifications.set(name, now);
    // n.b. Its EventLog has the order of arrival and its LastEvent is what arrived last; here both go by time.
    const byTime = items.toSorted((a, b) => Number(a.timeNs - b.timeNs));
    this.announced.push({
      name,
      lastEvent: asLastEvent(byTime.at(-1)?.line ?? ''),
      eventLog: byTime.map(({ timeNs }) => String(timeNs)),
    });
  }
}

/** Our way from the bytes to the alert's bytes, with a ledger in memory. */
class Ours {
  readonly announced: Announced[] = [];
  readonly #rule: Rule;
  readonly #ledger = createPlayedLedger();

  constructor(rule: Rule) {
    this.#rule = rule;
  }

  async receive(line: string): Promise<void> {
    const message: Message = {
      id: '',
      routingKey: 'allocations',
      type: '',
      contentType: 'application/json',
      appId: '',
      timestampMs: 0,
      headers: {},
      body: Buffer.from(line),
    };
    const input = readObservations(message, 'name');
    if (input.kind === 'foreign') return;
    for (const observation of input.observations) {
      const decision = await this.#ledger.record(observation, this.#rule);
      // n.b. A loop that waited for its next start through a whole interval goes on with us, and says so at its next
      // crash.
      if (decision.action !== 'announce' || decision.count < this.#rule.count) continue;
      const alert = readAlertMessage(
        buildAlertMessage(decision, {
          place: observation.place,
          rule: this.#rule,
          routingKey: 'crash-loop',
          timestampMs: 1,
        }),
      );
      const { Name } = JSON.parse(alert.lastEvent) as { readonly Name: string };
      this.announced.push({
        name: Name,
        lastEvent: alert.lastEvent,
        eventLog: alert.eventLog.map((time) => String(toNanoseconds(time))),
      });
    }
  }
}

function toNanoseconds(time: string): bigint {
  const [, whole = '', fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/u.exec(time) ?? [];
  return BigInt(Date.parse(`${whole}Z`) / 1000) * secondNs + BigInt(fraction.padEnd(9, '0'));
}

async function recorded(): Promise<readonly string[]> {
  return (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString('utf8')
    .trim()
    .split('\n');
}

function seconds(count: number, interval: number, notification: number): Rule {
  return { count, intervalMs: interval * 1000, notificationIntervalMs: notification * 1000 };
}

for (const rule of [
  seconds(2, 300, 300),
  seconds(3, 60, 3600),
  seconds(5, 60, 10),
  seconds(3, 30, 5),
  seconds(5, 600, 20),
  seconds(1, 60, 7),
  seconds(10, 60, 0),
]) {
  const words = `${rule.count} within ${rule.intervalMs / 1000}s, each ${rule.notificationIntervalMs / 1000}s`;
  t.test(`${words}: every alert is the same, byte for byte`, async (t) => {
    const former = new NomadCrashloopDetector(rule);
    const ours = new Ours(rule);

    for (const line of await recorded()) {
      const restart = readRestart(line);
      // n.b. Failed allocations ("Not Restarting", "Setup Failure") count with us, and a start tells whether a task ran
      // or waited.
      if (line.includes('"Type":"Started"')) await ours.receive(line);
      if (restart === undefined) continue;
      former.receive(restart);
      await ours.receive(line);
    }

    t.ok(former.announced.length > 0);
    t.same(
      ours.announced.map(({ name, eventLog }) => `${name} ${eventLog.length} ${eventLog.at(-1)}`),
      former.announced.map(({ name, eventLog }) => `${name} ${eventLog.length} ${eventLog.at(-1)}`),
    );
    t.same(ours.announced, former.announced);
  });
}

t.test(
  'a loop that wavers around the threshold is announced each interval at most, where it forgot that it had',
  async (t) => {
    const rule = seconds(50, 10, 2);
    const former = new NomadCrashloopDetector(rule);
    const ours = new Ours(rule);

    for (const line of await recorded()) {
      const restart = readRestart(line);
      if (restart === undefined) continue;
      former.receive(restart);
      await ours.receive(line);
    }

    const pauses = (announced: readonly Announced[]) =>
      announced
        .slice(1)
        .map(({ eventLog }, at) => BigInt(eventLog.at(-1) ?? 0) - BigInt(announced[at]?.eventLog.at(-1) ?? 0));
    t.ok(ours.announced.length >= 5);
    t.ok(pauses(ours.announced).every((pause) => pause >= 2n * secondNs));
    t.ok(pauses(former.announced).some((pause) => pause < 2n * secondNs));
  },
);

t.test('with all that it is told, the same jobs are announced, and those that only fail as well', async (t) => {
  const rule = seconds(3, 300, 300);
  const former = new NomadCrashloopDetector(rule);
  const ours = new Ours(rule);

  for (const line of await recorded()) {
    const restart = readRestart(line);
    if (restart !== undefined) former.receive(restart);
    await ours.receive(line);
  }

  const names = (announced: readonly Announced[]) => [...new Set(announced.map(({ name }) => name))].sort();
  const more = names(ours.announced).filter((name) => !names(former.announced).includes(name));
  t.same(
    names(former.announced).filter((name) => !names(ours.announced).includes(name)),
    [],
  );
  t.same(more, ['geo-index.index[0]'], 'allocations that fail without a restart');
});
