/**
 * The sequences of task events that Nomad's client is known to write, each played as the frames that show it, from
 * bytes into the ledger's rules: what a case expects are the crashes by identity, and the requested restarts that were
 * noticed.
 */
import t from 'tap';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import { createPlayedLedger } from '../ledger/ledger-cases-contract.ts';
import { readObservations } from '../read-observations.ts';
import type { GroupBy } from './lineage.ts';

type Fields = Readonly<Record<string, unknown>>;

const rule = { count: 1000, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const startNs = 1_795_231_700_123_456_789n;

/** Task events in short; the number is the second in which it was written. */
function received(at: number): Fields {
  return event('Received', at);
}

function started(at: number): Fields {
  return event('Started', at);
}

function terminated(at: number, code: number, details: Fields = {}): Fields {
  return event('Terminated', at, {
    ExitCode: code,
    Details: { exit_code: String(code), oom_killed: 'false', ...details },
  });
}

function restarting(at: number, reason: string): Fields {
  return event('Restarting', at, { RestartReason: reason, StartDelay: reason === '' ? 0 : 1_000_000_000 });
}

function notRestarting(at: number, reason: string): Fields {
  return event('Not Restarting', at, { RestartReason: reason, FailsTask: true });
}

function signaled(at: number, reason: string, text = ''): Fields {
  return event('Restart Signaled', at, { RestartReason: reason, DisplayMessage: text });
}

function signalling(at: number, signal: string): Fields {
  return event('Signaling', at, { TaskSignal: signal, DisplayMessage: `Task being sent signal ${signal}` });
}

function killed(at: number): Fields[] {
  return [event('Killing', at), event('Terminated', at, { ExitCode: 143 }), event('Killed', at)];
}

const within = 'Restart within policy';
const delay = 'Exceeded allowed attempts, applying a delay';
const exhausted = 'Exceeded allowed attempts 1 in interval 10s and mode is "fail"';
const unrecoverable = 'Error was unrecoverable';

function event(type: string, at: number, fields: Fields = {}): Fields {
  return {
    Details: {},
    DisplayMessage: '',
    FailsTask: false,
    RestartReason: '',
    Time: time(at),
    Type: type,
    ...fields,
  };
}

/** Nanoseconds as a text between @, unwrapped when the frame is written: no JavaScript number holds them. */
function time(at: number): string {
  return `@${startNs + BigInt(Math.round(at * 1000)) * 1_000_000n}@`;
}

interface Frame {
  readonly allocation?: string;
  readonly task?: string;
  readonly events: readonly Fields[];
  readonly restarts?: number;
  readonly state?: 'pending' | 'running' | 'dead';
  readonly failed?: boolean;
  readonly fields?: Fields;
  readonly origin?: 'stream' | 'snapshot';
}

function message(
  {
    allocation = 'a1',
    task = 'task',
    events,
    restarts = 0,
    state = 'running',
    failed = false,
    fields = {},
    origin = 'stream',
  }: Frame,
  index: number,
) {
  const body = JSON.stringify({
    Topic: 'Allocation',
    Payload: {
      Allocation: {
        ID: allocation,
        Name: 'job.group[0]',
        Namespace: 'default',
        JobID: 'job',
        TaskGroup: 'group',
        ModifyTime: time(1000),
        TaskStates: { [task]: { State: state, Failed: failed, Restarts: restarts, Events: events.slice(-10) } },
        ...fields,
      },
    },
  }).replace(/"@(\d+)@"/gu, '$1');
  return makeEventMessage({
    cluster: 'c',
    region: 'r',
    index,
    origin,
    timestampMs: 1,
    id: `c/${index}`,
    routingKey: 'x',
    topic: 'Allocation',
    type: 'AllocationUpdated',
    body: Buffer.from(body),
  });
}

/** `a1/task#1` for each crash, sorted within its lineage; `requested 2` at the end. */
async function crashesOf(frames: readonly Frame[], groupBy: GroupBy = 'lineage'): Promise<string[]> {
  const ledger = createPlayedLedger();
  let requested = 0;
  for (const [index, frame] of frames.entries()) {
    const input = readObservations(message(frame, index), groupBy);
    if (input.kind === 'foreign') continue;
    for (const observation of input.observations)
      requested += (await ledger.record(observation, rule)).recorded.requested;
  }
  const lineages = (await ledger.loops())
    .map(({ crashes }) => crashes.map(showCrash).sort().join(' '))
    .filter((ids) => ids !== '');
  return [...lineages.sort(), ...(requested > 0 ? [`requested ${requested}`] : [])];
}

/** Without the cluster; what its time tells apart is the end of a task. */
function showCrash({ id, task }: { readonly id: string; readonly task: string }): string {
  return `${task.slice(2)}#${/#(.*)$/u.exec(id)?.[1] ?? 'failed'}`;
}

const crashed = [received(0), started(1), terminated(2, 1), restarting(2, within), started(3)];
const rescheduled = { PreviousAllocation: 'a1' };

const cases: Readonly<Record<string, readonly [frames: readonly Frame[], expected: readonly string[]]>> = {
  '(a) a crash within the policy': [
    [
      { events: crashed.slice(0, 4), restarts: 1, state: 'pending' },
      { events: crashed, restarts: 1 },
    ],
    ['a1/task#1'],
  ],
  '(a) frames that show several at once': [
    [{ events: [...crashed, terminated(4, 1), restarting(4, within), started(5)], restarts: 2 }],
    ['a1/task#1 a1/task#2'],
  ],
  '(a) restarts that no frame showed': [
    [
      { events: crashed, restarts: 1 },
      { events: [terminated(20, 1), restarting(20, within), started(21)], restarts: 5 },
    ],
    ['a1/task#1 a1/task#2 a1/task#3 a1/task#4 a1/task#5'],
  ],
  '(b) attempts exhausted, mode fail': [
    [{ events: [...crashed, terminated(4, 1), notRestarting(4, exhausted)], restarts: 1, state: 'dead', failed: true }],
    ['a1/task#1 a1/task#failed'],
  ],
  '(b) the sibling that goes with it': [
    [
      {
        task: 'sibling',
        events: [started(1), event('Sibling Task Failed', 4), ...killed(4)],
        state: 'dead',
        failed: true,
      },
    ],
    [],
  ],
  '(b) rescheduled, and failed again': [
    [
      { events: [notRestarting(4, exhausted)], state: 'dead', failed: true },
      { events: [notRestarting(4, exhausted)], state: 'dead', failed: true, fields: { FollowupEvalID: 'e' } },
      { allocation: 'a2', events: [received(6)], fields: rescheduled, state: 'pending' },
      {
        allocation: 'a2',
        events: [received(6), notRestarting(9, exhausted)],
        fields: rescheduled,
        state: 'dead',
        failed: true,
      },
    ],
    ['a1/task#failed a2/task#failed'],
  ],
  '(b) rescheduled, the link seen from the list object of the replaced': [
    [
      { allocation: 'a2', events: [notRestarting(9, exhausted)], state: 'dead', failed: true, origin: 'snapshot' },
      {
        events: [notRestarting(4, exhausted)],
        state: 'dead',
        failed: true,
        origin: 'snapshot',
        fields: { NextAllocation: 'a2', DesiredStatus: 'stop' },
      },
      { allocation: 'a2', events: [notRestarting(9, exhausted)], state: 'dead', failed: true },
    ],
    ['a1/task#failed a2/task#failed'],
  ],
  '(b) attempts exhausted, mode delay': [
    [{ events: [started(1), terminated(2, 1), restarting(2, delay)], restarts: 7, state: 'pending' }],
    ['a1/task#7'],
  ],
  '(c) restarted by a user, long kill timeout': [
    [
      { events: [started(1), signaled(2, 'User requested task to restart')] },
      {
        events: [
          started(1),
          signaled(2, 'User requested task to restart'),
          terminated(30, 137),
          restarting(30, ''),
          started(31),
        ],
        restarts: 1,
      },
    ],
    ['requested 1'],
  ],
  '(c) a user and a crash in turn': [
    [
      {
        events: [
          signaled(1, 'User requested all tasks to restart'),
          terminated(2, 130),
          restarting(2, ''),
          started(3),
          terminated(4, 1),
          restarting(4, within),
        ],
        restarts: 2,
      },
    ],
    ['a1/task#2', 'requested 1'],
  ],
  '(d) restarted by a template': [
    [
      {
        events: [
          signaled(1, '', 'Template with change_mode restart re-rendered'),
          terminated(2, 143),
          restarting(2, ''),
        ],
        restarts: 1,
      },
    ],
    ['requested 1'],
  ],
  '(d) restarted for a new Vault token': [
    [{ events: [signaled(1, '', 'Vault: new Vault token acquired'), restarting(2, '')], restarts: 1 }],
    ['requested 1'],
  ],
  '(d) restarted for a new identity': [
    [{ events: [signaled(1, '', 'Identity[vault_default]: new token acquired'), restarting(2, '')], restarts: 1 }],
    ['requested 1'],
  ],
  '(d) signalled by a template': [[{ events: [started(1), event('Signaling', 2, { TaskSignal: 'SIGHUP' })] }], []],
  '(d) ended by a person with a signal': [
    [
      {
        events: [
          started(1),
          signalling(2, 'SIGTERM'),
          terminated(3, 143),
          restarting(3, within),
          started(4),
          signalling(5, 'SIGKILL'),
          terminated(6, 137),
          notRestarting(6, exhausted),
        ],
        restarts: 1,
        state: 'dead',
        failed: true,
      },
    ],
    ['requested 1'],
  ],
  '(d) a crash after a signal that is not to end it, and after one that did not': [
    [
      {
        events: [
          started(1),
          signalling(2, 'SIGHUP'),
          terminated(3, 1),
          restarting(3, within),
          signalling(4, 'SIGTERM'),
          started(5),
          terminated(6, 1),
          restarting(6, within),
        ],
        restarts: 2,
      },
    ],
    ['a1/task#1 a1/task#2'],
  ],
  '(d) ended by the signal of a template': [
    [
      {
        events: [
          started(1),
          event('Signaling', 2, { TaskSignal: 'SIGTERM', DisplayMessage: 'Template re-rendered' }),
          terminated(3, 1),
          restarting(3, within),
        ],
        restarts: 1,
      },
    ],
    ['a1/task#1'],
  ],
  '(d) an unhealthy check': [
    [
      {
        events: [signaled(1, 'healthcheck: check "alive" unhealthy'), terminated(2, 137), restarting(2, within)],
        restarts: 1,
      },
    ],
    ['a1/task#1'],
  ],
  '(d) an unhealthy CSI plugin, which restarts twice': [
    [
      {
        events: [
          event('Plugin became unhealthy', 1),
          restarting(1, ''),
          terminated(2, 137),
          restarting(2, within),
          started(3),
        ],
        restarts: 2,
      },
    ],
    ['a1/task#2', 'requested 1'],
  ],
  '(e) out of memory': [
    [{ events: [terminated(2, 137, { oom_killed: 'true' }), restarting(2, within)], restarts: 1 }],
    ['a1/task#1'],
  ],
  '(f) a driver that recovers': [
    [{ events: [event('Driver Failure', 1), restarting(1, within)], restarts: 1, state: 'pending' }],
    ['a1/task#1'],
  ],
  '(f) a driver that does not': [
    [{ events: [event('Driver Failure', 1), notRestarting(1, unrecoverable)], state: 'dead', failed: true }],
    ['a1/task#failed'],
  ],
  '(f) an artifact that cannot be fetched': [
    [{ events: [event('Failed Artifact Download', 1), restarting(1, within)], restarts: 1, state: 'pending' }],
    ['a1/task#1'],
  ],
  '(f) a hook that fails': [
    [{ events: [event('Task hook failed', 1), notRestarting(1, unrecoverable)], state: 'dead', failed: true }],
    ['a1/task#failed'],
  ],
  '(f) a setup that fails': [
    [{ events: [received(0), event('Setup Failure', 1, { FailsTask: true })], state: 'dead', failed: true }],
    ['a1/task#failed'],
  ],
  '(f) a template that fails the task': [
    [{ events: [event('Killing', 1, { FailsTask: true }), event('Killed', 2)], state: 'dead', failed: true }],
    ['a1/task#failed'],
  ],
  'a stop': [[{ events: [started(1), ...killed(9)], state: 'dead', fields: { DesiredStatus: 'stop' } }], []],
  'a stop of a job that crashed before': [
    [{ events: [...crashed, ...killed(9)], restarts: 1, state: 'dead', fields: { DesiredStatus: 'stop' } }],
    ['a1/task#1'],
  ],
  'a batch task that is done': [[{ events: [started(1), terminated(2, 0)], state: 'dead' }], []],
  'a service without attempts that exits with 0': [
    [{ events: [terminated(2, 0), notRestarting(2, 'Policy allows no restarts')], state: 'dead', failed: true }],
    ['a1/task#failed'],
  ],
  'first sight in a snapshot': [
    [{ events: [terminated(2, 1), restarting(2, within), started(3)], restarts: 400, origin: 'snapshot' }],
    ['a1/task#400'],
  ],
  'out of order and repeated': [
    [
      {
        events: [
          ...crashed,
          terminated(4, 1),
          restarting(4, within),
          started(5),
          terminated(6, 1),
          restarting(6, within),
        ],
        restarts: 3,
      },
      { events: crashed, restarts: 1 },
      { events: crashed, restarts: 1 },
    ],
    ['a1/task#1 a1/task#2 a1/task#3'],
  ],
  'a counter that went down while time went on': [
    [
      { events: [restarting(2, within), restarting(4, within)], restarts: 8 },
      { events: [restarting(9, within)], restarts: 1 },
    ],
    ['a1/task#1.1 a1/task#7 a1/task#8'],
  ],
  'a crash in the future': [
    [
      { events: [restarting(5000, within)], restarts: 1, fields: { ModifyTime: time(3) } },
      { events: [restarting(5000, within), restarting(4, within)], restarts: 2, fields: { ModifyTime: time(5) } },
    ],
    ['a1/task#1 a1/task#2'],
  ],
  'a system job on two nodes': [
    [
      { events: crashed, restarts: 1, fields: { NodeID: 'n1' } },
      { allocation: 'b1', events: crashed, restarts: 1, fields: { NodeID: 'n2' } },
    ],
    ['a1/task#1', 'b1/task#1'],
  ],
  'a canary beside the old allocation': [
    [
      { events: crashed, restarts: 1 },
      { allocation: 'b1', events: crashed, restarts: 1, fields: { DeploymentStatus: { Canary: true } } },
    ],
    ['a1/task#1', 'b1/task#1'],
  ],
  'two tasks of an allocation': [
    [
      { events: crashed, restarts: 1 },
      { task: 'other', events: crashed, restarts: 1 },
    ],
    ['a1/other#1', 'a1/task#1'],
  ],
};

for (const [name, [frames, expected]] of Object.entries(cases)) {
  t.test(name, async (t) => {
    t.same(await crashesOf(frames), expected);
  });
}

t.test('grouped by name, nodes, canaries and tasks count together', async (t) => {
  for (const name of [
    'a system job on two nodes',
    'a canary beside the old allocation',
    'two tasks of an allocation',
  ]) {
    const [frames, expected] = cases[name] ?? [[], []];
    t.same(await crashesOf(frames, 'name'), [[...expected].sort().join(' ')], name);
  }
});
