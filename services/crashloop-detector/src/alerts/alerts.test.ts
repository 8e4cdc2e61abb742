import { readFile } from 'node:fs/promises';
import t from 'tap';
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { formatGoTime, writeGoJson } from '@hydrant/shared/foundation/go-json';
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import { readRecording, readRecordingFile } from '@hydrant/testing/recordings';
import { readAllocation } from '../crashes/read-allocation.ts';
import type { Rule } from '../ledger/ledger.ts';
import {
  buildAlert,
  buildAlertMessage,
  buildResolvedMessage,
  type AlertContext,
  type Announcement,
} from './build-alert.ts';
import { makeLastEvent } from '../crashes/last-event.ts';

const rule: Rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const context: AlertContext = {
  place: { cluster: 'eu', namespace: 'default', job: 'check/out', group: 'web', task: 'server' },
  rule,
  routingKey: 'crash-loop',
  timestampMs: 1,
};

function crash(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    allocation: 'a1',
    task: 'server',
    time: '1795231704791828627',
    reason: 'Restart within policy',
    exitCode: 17,
    ...fields,
  });
}

function announcement(changes: Partial<Announcement> = {}): Announcement {
  return {
    action: 'announce',
    status: 'opened',
    recorded: { restarts: 1, hidden: 0, failures: 0, requested: 0, forgotten: 0 },
    verdicts: [],
    clockBehindUs: 0,
    count: 1,
    crashes: [crash()],
    lastEvent: '{"Time":1795231704791828627}',
    claim: {
      alertId: '0123456789abcdef0123456789abcdef',
      group: 'eu/global/default/a/server',
      allocation: 'eu/a1',
      eventId: 'e',
      openedAtUs: 7,
      announcedAtUs: 9,
    },
    ...changes,
  };
}

t.test('JSON is written as Go writes it', async (t) => {
  t.equal(
    writeGoJson({ b: 'a<b>&"\\\n\r\t\u0001\b\u2028', a: 1795231704791828627n, z: { on: true, n: -3 } }),
    '{"b":"a\\u003cb\\u003e\\u0026\\"\\\\\\n\\r\\t\\u0001\\u0008\\u2028","a":1795231704791828627,"z":{"on":true,"n":-3}}',
  );
});

t.test('times are written as Go writes them', async (t) => {
  t.equal(formatGoTime(1_795_231_704_791_828_627n), '2026-11-21T03:28:24.791828627Z');
  t.equal(formatGoTime(1_795_231_704_790_000_000n), '2026-11-21T03:28:24.79Z');
  t.equal(formatGoTime(1_795_231_704_000_000_000n), '2026-11-21T03:28:24Z');
});

t.test('LastEvent is byte for byte what nomad-firehose said, without its later fields', async (t) => {
  const said = new Map<string, string>();
  for (const line of (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString('utf8')
    .trim()
    .split('\n')) {
    const [, allocation, task, type, time] =
      /"AllocationID":"([^"]*)".*"TaskName":"([^"]*)".*"TaskEvent":\{"Type":"([^"]*)","Time":(\d+)/u.exec(line) ?? [];
    const older = line
      .replace(/"NodeID":"[^"]*",/u, '')
      .replace(/"DisplayMessage":"(?:[^"\\]|\\.)*","Details":\{.*?\},(?="FailsTask")/u, '')
      .replace(/,"GenericSource":""/gu, '');
    said.set([allocation, task, type, time].join(' '), older);
  }

  let compared = 0;
  const differing: unknown[] = [];
  for (const bytes of await recordedEvents()) {
    const allocation = readAllocation(bytes);
    for (const task of allocation.tasks) {
      for (const taskEvent of task.events) {
        const key = [allocation.id, task.name, taskEvent.type, taskEvent.timeNs].join(' ');
        const expected = said.get(key);
        // nomad-firehose speaks of a task event once, as the first frame that holds it shows it.
        if (expected === undefined || !said.delete(key)) continue;
        const actual = makeLastEvent(allocation, task, taskEvent);
        compared += 1;
        if (actual !== expected) differing.push({ actual, expected });
      }
    }
  }

  t.equal(compared, 1204);
  t.same(differing, []);
});

t.test('an alert sums up the crashes in the window', async (t) => {
  const crashes = [
    crash(),
    crash({
      allocation: 'a2',
      time: '1795231705000000000',
      exitCode: 137,
      signal: 9,
      oomKilled: true,
      cause: 'OOM Killed',
    }),
    crash({ allocation: 'a2', time: '1795231706000000000' }),
  ];

  t.match(buildAlert(announcement({ count: 3, crashes }), context), {
    eventLog: ['2026-11-21T03:28:24.791828627Z', '2026-11-21T03:28:25Z', '2026-11-21T03:28:26Z'],
    count: 3,
    interval: /^10m/,
    reasons: ['Restart within policy', 'OOM Killed'],
    exitCodes: [17, 137],
    oomKilled: true,
    firstCrash: '2026-11-21T03:28:24.791828627Z',
    lineage: ['a1', 'a2'],
    nextStep: 'nomad alloc logs -stderr a2 server',
  });
});

t.test('the next step fits the crash', async (t) => {
  const payments = { ...context, place: { ...context.place, namespace: 'payments' } };

  t.equal(buildAlert(announcement(), payments).nextStep, 'nomad alloc logs -namespace payments -stderr a1 server');
  t.equal(
    buildAlert(announcement({ crashes: [crash({ exitCode: undefined })] }), context).nextStep,
    'nomad alloc status a1',
    'a task that never ran has no logs',
  );
});

t.test('ids follow from the claim', async (t) => {
  const first = buildAlertMessage(announcement(), context);
  const again = buildAlertMessage(announcement(), { ...context, timestampMs: 2 });
  const later = buildAlertMessage(
    announcement({ status: 'ongoing', claim: { ...announcement().claim, announcedAtUs: 10 } }),
    context,
  );
  const another = buildAlertMessage(announcement({ claim: { ...announcement().claim, alertId: 'another' } }), context);

  t.equal(again.id, first.id, 'a repeat of an announcement');
  t.not(later.id, first.id, 'the next announcement of the loop');
  t.equal(readAlertMessage(later).id, readAlertMessage(first).id, 'which is the same alert');
  t.not(readAlertMessage(another).id, readAlertMessage(first).id, 'another loop');
});

t.test('the end of a loop is the same alert, told once', async (t) => {
  const { alertId } = announcement().claim;
  const end = {
    alertId,
    token: 't',
    reason: 'ran' as const,
    loop: 'l',
    openedAtUs: 7,
    newestUs: 9,
    intervalMs: 600_000,
    count: 1,
    crashes: [crash()],
    lastEvent: '{"Time":1795231704791828627}',
    place: context.place,
  };

  const message = buildResolvedMessage(end, { routingKey: 'crash-loop-resolved.{job}', timestampMs: 1 });

  t.match(message, {
    type: 'crash-loop-resolved',
    routingKey: 'crash-loop-resolved.check_out',
    id: `${alertId}/resolved`,
  });
  t.match(readAlertMessage(message), {
    id: alertId,
    status: 'resolved',
    count: 1,
    interval: /^10m/,
    lastEvent: '{"Time":1795231704791828627}',
  });
});

t.test('the routing key takes words from the event', async (t) => {
  t.equal(
    buildAlertMessage(announcement(), { ...context, routingKey: 'crash-loop.{namespace}.{job}' }).routingKey,
    'crash-loop.default.check_out',
  );
});

t.test('the schema accepts an alert and refuses one that lacks a field', async (t) => {
  const schema = JSON.parse(
    await readFile(new URL('../../../../docs/schemas/crash-loop.schema.json', import.meta.url), 'utf8'),
  ) as object;
  const events = (await recordedEvents()).map(readAllocation);
  const [allocation] = events.filter(({ tasks }) => tasks.some((task) => task.restarts > 0));
  const task = allocation?.tasks.find(({ restarts }) => restarts > 0);
  const event = task?.events.at(-1);
  if (allocation === undefined || task === undefined || event === undefined)
    throw new Error('Expected the recording to hold a restart');
  const alert = JSON.parse(
    buildAlertMessage(announcement({ lastEvent: makeLastEvent(allocation, task, event) }), context).body.toString(),
  ) as Record<string, unknown>;

  t.same(schemaProblems(schema, alert), []);
  t.same(schemaProblems(schema, { ...alert, Status: 'over', EventLog: ['yesterday'], Count: 1.5 }).length, 3);
  for (const key of Object.keys(alert))
    t.equal(schemaProblems(schema, { ...alert, [key]: undefined }).length > 0, true, `without ${key}`);
});

async function recordedEvents(): Promise<Buffer[]> {
  const events: Buffer[] = [];
  for (const line of await readRecording('nomad-firehose-parity')) {
    forEachMember(line, 0, (key, at) => {
      if (key === 'Events')
        forEachElement(line, at, (from, to) => {
          events.push(line.subarray(from, to));
        });
    });
  }
  return events.filter((event) => event.includes('"Topic":"Allocation"'));
}

type Schema = Readonly<Record<string, unknown>>;

/**
 * What of a value is not as the schema says, for the keywords that the schema of alerts uses; an unknown keyword is a
 * problem too.
 */
function schemaProblems(root: object, value: unknown, schema: Schema = root as Schema, at = ''): string[] {
  const problems: string[] = [];
  const check = (holds: boolean, keyword: string): void => {
    if (!holds) problems.push(`${at}: ${keyword}`);
  };
  const members = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  for (const [keyword, wanted] of Object.entries(schema)) {
    if (['$schema', '$id', '$defs', 'title', 'description'].includes(keyword)) continue;
    if (keyword === '$ref') problems.push(...schemaProblems(root, value, resolve(root, String(wanted)), at));
    else if (keyword === 'type') check(hasType(value, String(wanted)), `is a ${String(wanted)}`);
    else if (keyword === 'enum') check((wanted as unknown[]).includes(value), 'is one of the words');
    else if (keyword === 'pattern')
      check(typeof value !== 'string' || new RegExp(String(wanted), 'u').test(value), `matches ${String(wanted)}`);
    else if (keyword === 'minLength')
      check(typeof value !== 'string' || value.length >= Number(wanted), 'is long enough');
    else if (keyword === 'minItems') check(!Array.isArray(value) || value.length >= Number(wanted), 'has enough items');
    else if (keyword === 'minimum') check(typeof value !== 'number' || value >= Number(wanted), 'is large enough');
    else if (keyword === 'required')
      for (const name of wanted as string[]) check(members[name] !== undefined, `has ${name}`);
    else if (keyword === 'items')
      for (const [index, item] of (Array.isArray(value) ? value : []).entries())
        problems.push(...schemaProblems(root, item, wanted as Schema, `${at}/${index}`));
    else if (keyword === 'properties') {
      for (const [name, of] of Object.entries(wanted as Record<string, Schema>)) {
        if (members[name] !== undefined) problems.push(...schemaProblems(root, members[name], of, `${at}/${name}`));
      }
    } else problems.push(`unknown keyword ${keyword}`);
  }
  return problems;
}

function resolve(root: object, reference: string): Schema {
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((node, name) => (node as Record<string, unknown>)[name], root) as Schema;
}

function hasType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  return type === 'object'
    ? typeof value === 'object' && value !== null && !Array.isArray(value)
    : typeof value === type;
}
