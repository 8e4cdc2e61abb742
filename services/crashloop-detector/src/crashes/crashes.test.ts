import t from 'tap';
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { readRecording, type RecordingName } from '@hydrant/testing/recordings';
import { extractCrashes, hasCrashes } from './extract-crashes.ts';
import { allocationKey, groupKey, lineageLinks } from './lineage.ts';
import { mayHoldCrash } from './may-hold-crash.ts';
import { readAllocation, type Allocation } from './read-allocation.ts';
import { TaskEvent } from './task-event.ts';
import { readTaskStatus } from './task-status.ts';

type Fields = Readonly<Record<string, unknown>>;

const second = 1_000_000_000n;
const start = 1_795_231_700_123_456_789n;

/** A task event, `at` seconds after the start. */
function taskEvent(type: string, at: number, fields: Fields = {}): Fields {
  return {
    Type: type,
    Time: `@${start + BigInt(at) * second}@`,
    Details: {},
    DisplayMessage: '',
    RestartReason: '',
    ...fields,
  };
}

const within = { RestartReason: 'Restart within policy' };
const exhausted = { RestartReason: 'Exceeded allowed attempts 1 in interval 10s and mode is "fail"', FailsTask: true };

function body(task: Fields, fields: Fields = {}): Buffer {
  const allocation = {
    ID: 'a1',
    Name: 'job.group[0]',
    Namespace: 'default',
    JobID: 'job',
    ModifyTime: `@${start + 3600n * second}@`,
    PreviousAllocation: '',
    TaskStates: { task: { State: 'pending', Failed: false, Restarts: 0, ...task } },
    ...fields,
  };
  // Nanoseconds are written as texts between @ and unwrapped here: no JavaScript number holds them.
  return Buffer.from(
    JSON.stringify({ Topic: 'Allocation', Payload: { Allocation: allocation } }).replace(/"@(\d+)@"/g, '$1'),
  );
}

function read(bytes: Buffer): Allocation {
  return readAllocation(bytes);
}

/** What a case shows, in short: `2 crash`, `1 requested`, `failed`. */
function shown(bytes: Buffer): string[] {
  return extractCrashes(read(bytes)).flatMap(({ restarts, failures }) => [
    ...restarts.map(({ number, kind }) => `${number} ${kind}`),
    ...failures.map(() => 'failed'),
  ]);
}

t.test('what counts as a crash', async (t) => {
  const cases: [name: string, task: Fields, expected: string[]][] = [
    [
      'a crash within the policy',
      {
        Restarts: 1,
        Events: [
          taskEvent('Terminated', 1, { ExitCode: 17 }),
          taskEvent('Restarting', 1, within),
          taskEvent('Started', 2),
        ],
      },
      ['1 crash'],
    ],
    [
      'attempts exhausted, mode fail',
      {
        State: 'dead',
        Failed: true,
        Restarts: 1,
        Events: [
          taskEvent('Terminated', 1),
          taskEvent('Restarting', 1, within),
          taskEvent('Terminated', 3),
          taskEvent('Not Restarting', 3, exhausted),
        ],
      },
      ['1 crash', 'failed'],
    ],
    [
      'attempts exhausted, mode delay',
      {
        Restarts: 7,
        Events: [
          taskEvent('Terminated', 1),
          taskEvent('Restarting', 1, { RestartReason: 'Exceeded allowed attempts, applying a delay' }),
        ],
      },
      ['7 crash'],
    ],
    [
      'a restart that a user asked for',
      {
        Restarts: 1,
        Events: [
          taskEvent('Restart Signaled', 1, { RestartReason: 'User requested task to restart' }),
          taskEvent('Terminated', 1),
          taskEvent('Restarting', 1),
        ],
      },
      ['1 requested'],
    ],
    [
      'a restart by a template',
      {
        Restarts: 1,
        Events: [
          taskEvent('Restart Signaled', 1, { DisplayMessage: 'Template with change_mode restart re-rendered' }),
          taskEvent('Terminated', 1),
          taskEvent('Restarting', 1),
        ],
      },
      ['1 requested'],
    ],
    [
      'a restart by a failed health check',
      {
        Restarts: 1,
        Events: [
          taskEvent('Restart Signaled', 1, { RestartReason: 'healthcheck: check "alive" unhealthy' }),
          taskEvent('Terminated', 1),
          taskEvent('Restarting', 1, within),
        ],
      },
      ['1 crash'],
    ],
    [
      'a driver that cannot start the task',
      {
        State: 'dead',
        Failed: true,
        Events: [
          taskEvent('Driver Failure', 1),
          taskEvent('Not Restarting', 1, { RestartReason: 'Error was unrecoverable', FailsTask: true }),
        ],
      },
      ['failed'],
    ],
    [
      'a setup that failed, without Not Restarting',
      {
        State: 'dead',
        Failed: true,
        Events: [taskEvent('Received', 1), taskEvent('Setup Failure', 1, { FailsTask: true })],
      },
      ['failed'],
    ],
    [
      'a task that its failed sibling took along',
      {
        State: 'dead',
        Failed: true,
        Events: [
          taskEvent('Sibling Task Failed', 1),
          taskEvent('Killing', 1),
          taskEvent('Terminated', 1),
          taskEvent('Killed', 1),
        ],
      },
      [],
    ],
    [
      'a stop',
      {
        State: 'dead',
        Events: [taskEvent('Killing', 1), taskEvent('Terminated', 1, { ExitCode: 137 }), taskEvent('Killed', 1)],
      },
      [],
    ],
    ['a batch task that is done', { State: 'dead', Events: [taskEvent('Terminated', 1, { ExitCode: 0 })] }, []],
    [
      'the newest of many restarts',
      {
        Restarts: 431,
        Events: [taskEvent('Restarting', 1, within), taskEvent('Restarting', 2), taskEvent('Restarting', 3, within)],
      },
      ['429 crash', '430 requested', '431 crash'],
    ],
    [
      'a counter that has gone back',
      { Restarts: 1, Events: [taskEvent('Restarting', 1, within), taskEvent('Restarting', 2, within)] },
      ['1 crash'],
    ],
    [
      'a reason that is only in the details',
      { Restarts: 1, Events: [taskEvent('Restarting', 1, { Details: { restart_reason: 'Restart within policy' } })] },
      ['1 crash'],
    ],
    ['no events yet', { Events: null }, []],
  ];

  for (const [name, task, expected] of cases) t.same(shown(body(task)), expected, name);
});

t.test('a crash carries what an alert says of it', async (t) => {
  const events = [
    taskEvent('Terminated', 1, { ExitCode: 137, Signal: 9, Message: 'OOM Killed', Details: { oom_killed: 'true' } }),
    taskEvent('Restarting', 2, within),
    taskEvent('Driver Failure', 3, { DisplayMessage: 'failed to launch command' }),
    taskEvent('Not Restarting', 4, { RestartReason: 'Error was unrecoverable' }),
  ];

  const [crashes] = extractCrashes(read(body({ State: 'dead', Failed: true, Restarts: 1, Events: events })));

  t.same(crashes?.restarts[0]?.detail, {
    allocation: 'a1',
    task: 'task',
    reason: 'Restart within policy',
    cause: 'OOM Killed',
    exitCode: 137,
    signal: 9,
    oomKilled: true,
  });
  t.equal(crashes?.restarts[0]?.timeNs, start + 2n * second);
  t.match(crashes?.failures, [{ timeNs: start + 4n * second }]);
  t.same(crashes?.failures[0]?.detail, {
    allocation: 'a1',
    task: 'task',
    reason: 'Error was unrecoverable',
    cause: 'failed to launch command',
  });
});

t.test('a client whose clock runs ahead is held to the servers', async (t) => {
  const [crashes] = extractCrashes(
    read(body({ Restarts: 1, Events: [taskEvent('Restarting', 9, within)] }, { ModifyTime: `@${start}@` })),
  );

  t.equal(crashes?.restarts[0]?.timeNs, start);
});

t.test('what is no allocation event is refused for good', async (t) => {
  const cases: [name: string, bytes: string][] = [
    ['no JSON', '{"Topic":"Allocation"'],
    ['no object', '[]'],
    ['more than an object', `${body({}).toString()}{}`],
    ['a comma too many', '{"Topic":"Allocation",}'],
    ['a time before 1970', body({}, { ModifyTime: -1 }).toString()],
    ['a time that no counter reaches', body({}, { ModifyTime: '@9999999999999999999@' }).toString()],
    ['a time with a fraction', body({}, { ModifyTime: 1.5 }).toString()],
    ['no topic', '{"Payload":{}}'],
    ['no payload', '{"Topic":"Allocation"}'],
    ['no allocation', '{"Topic":"Allocation","Payload":{}}'],
    ['no id', '{"Topic":"Allocation","Payload":{"Allocation":{"Name":"a","ModifyTime":1}}}'],
    ['no time', '{"Topic":"Allocation","Payload":{"Allocation":{"ID":"a","Name":"a"}}}'],
    ['events that are no list', body({ Events: {} }).toString()],
    ['an event without a time', body({ Events: [{ Type: 'Restarting' }] }).toString()],
    ['restarts that are no number', body({ Restarts: 'many' }).toString()],
    ['restarts below zero', body({ Restarts: -1 }).toString()],
  ];

  for (const [name, bytes] of cases)
    t.throws(() => read(Buffer.from(bytes)), { code: 'event-invalid', retryable: false }, name);
});

t.test('one odd part takes no other with it', async (t) => {
  const crash = { Restarts: 1, Events: [taskEvent('Restarting', 1, within)] };
  const cases: [name: string, bytes: Buffer, expected: string[], odd: number][] = [
    ['a task without a state', body({}, { TaskStates: { log: null, task: crash } }), ['1 crash'], 0],
    ['a task that is a text', body({}, { TaskStates: { log: 'x', task: crash } }), ['1 crash'], 1],
    ['a task whose events are no list', body({}, { TaskStates: { log: { Events: {} }, task: crash } }), ['1 crash'], 1],
    [
      'a task whose restarts are no number',
      body({}, { TaskStates: { task: crash, log: { Restarts: 'many' } } }),
      ['1 crash'],
      1,
    ],
    [
      'a task event that is null, before',
      body({ Restarts: 2, Events: [taskEvent('Restarting', 1, within), null, taskEvent('Restarting', 2, within)] }),
      ['2 crash'],
      1,
    ],
    [
      'a task event without a time, after',
      body({ Restarts: 1, Events: [{ Type: 'Started' }, taskEvent('Restarting', 2, within)] }),
      ['1 crash'],
      1,
    ],
    [
      'details that are a text',
      body({ Restarts: 1, Events: [taskEvent('Terminated', 1, { Details: 'x' }), taskEvent('Restarting', 1, within)] }),
      ['1 crash'],
      0,
    ],
    [
      'a tracker that is a list',
      body(crash, { RescheduleTracker: [], PreviousAllocation: 7, NextAllocation: {} }),
      ['1 crash'],
      0,
    ],
    [
      'a tracker with odd events',
      body(crash, { RescheduleTracker: { Events: [null, 1, { PrevAllocID: 1 }] } }),
      ['1 crash'],
      0,
    ],
    ['names that are numbers', body(crash, { JobID: 1, TaskGroup: null, Namespace: 2, NodeName: [] }), ['1 crash'], 0],
  ];

  for (const [name, bytes, expected, odd] of cases) {
    t.same(shown(bytes), expected, name);
    t.equal(read(bytes).odd.length, odd, name);
  }
});

t.test('what became of a task', async (t) => {
  const cases: [name: string, task: Fields, fields: Fields, state: string][] = [
    ['it runs', { State: 'running' }, {}, 'running'],
    ['it waits for its next start', { State: 'pending' }, {}, 'waiting'],
    ['it has failed', { State: 'dead', Failed: true }, { ClientStatus: 'failed' }, 'failed'],
    ['another task of its allocation has failed', { State: 'dead' }, { ClientStatus: 'failed' }, 'failed'],
    ['it is done', { State: 'dead' }, { ClientStatus: 'complete' }, 'done'],
    ['its job was stopped', { State: 'running' }, { DesiredStatus: 'stop' }, 'stopped'],
    [
      'it has failed, and its job was stopped',
      { State: 'dead', Failed: true },
      { DesiredStatus: 'stop', ClientStatus: 'failed' },
      'stopped',
    ],
    [
      'it was rescheduled',
      { State: 'dead', Failed: true },
      { DesiredStatus: 'stop', NextAllocation: 'a2' },
      'replaced',
    ],
    ['its node is down', { State: 'running' }, { DesiredStatus: 'stop', ClientStatus: 'lost' }, 'failed'],
    ['its node is disconnected', { State: 'running' }, { ClientStatus: 'unknown' }, 'failed'],
    ['it made room for another', { State: 'dead' }, { DesiredStatus: 'evict', ClientStatus: 'complete' }, 'failed'],
  ];

  for (const [name, task, fields, state] of cases) {
    const allocation = read(body(task, fields));
    const [only] = allocation.tasks;
    t.equal(only && readTaskStatus(allocation, only).state, state, name);
  }
});

t.test('a task event says the same however its keys are ordered and whatever they hold', async (t) => {
  const sorted =
    '{"Details":{"Type":"no","Time":"no"},"Message":"a,\\"Type\\":\\"no","RestartReason":"Restart within policy","Time":1795231700123456789,"Type":"Restarting","ValidationError":"","VaultError":""}';
  const cases: [name: string, json: string, type: string][] = [
    ['sorted', sorted, 'Restarting'],
    ['escaped', sorted.replace('"Restarting"', '"Re\\u0073tarting"'), 'Restarting'],
    ['spaced', sorted.replace('"Type":"Restarting"', '"Type": "Restarting"'), 'Restarting'],
    ['with an error', sorted.replace('"ValidationError":""', '"ValidationError":"e"'), 'Restarting'],
    [
      'another order',
      '{"Type":"Restarting","Time":1795231700123456789,"RestartReason":"Restart within policy","Details":{"Time":"x","Type":"no","ValidationError":"","VaultError":""}}',
      'Restarting',
    ],
    ['another sign', sorted.replace('"Restarting"', '"R\u00e9"'), 'R\u00e9'],
  ];

  for (const [name, json, type] of cases) {
    const event = new TaskEvent(Buffer.from(` ${json} `), 1);
    t.match(event, { type, timeNs: 1_795_231_700_123_456_789n, end: Buffer.byteLength(json) + 1 }, name);
    t.equal(event.fields.text('RestartReason'), 'Restart within policy');
  }
  for (const time of ['-1', '1.5', '"1"', 'null', '9000000000000000001', '99999999999999999999999']) {
    t.throws(
      () => new TaskEvent(Buffer.from(sorted.replace('1795231700123456789', time)), 0),
      { code: 'event-invalid' },
      time,
    );
  }
});

t.test('lineage', async (t) => {
  const origin = { cluster: 'eu/1', region: 'global' };

  t.test('counts tasks of one allocation name and namespace together', async (t) => {
    t.equal(groupKey(origin, read(body({})), 'task', 'lineage'), 'eu%2F1/global/default/job.group%5B0%5D/task');
    t.equal(groupKey(origin, read(body({})), 'task', 'name'), 'eu%2F1/global/default/job.group%5B0%5D');
  });

  t.test('knows what an allocation replaced and by what it was replaced', async (t) => {
    const key = (id: string): string => allocationKey(origin, id);
    const cases: [name: string, fields: Fields, expected: { child: string; parent: string }[]][] = [
      ['neither', {}, []],
      ['the replaced', { PreviousAllocation: 'a0' }, [{ child: key('a1'), parent: key('a0') }]],
      [
        'all that were replaced, in a list object',
        { RescheduleTracker: { Events: [{ PrevAllocID: 'a-1' }, { PrevAllocID: 'a0' }] } },
        [
          { child: key('a1'), parent: key('a0') },
          { child: key('a0'), parent: key('a-1') },
        ],
      ],
      ['no tracker, in a list object', { RescheduleTracker: null, NextAllocation: '' }, []],
      ['the replacement', { NextAllocation: 'a2' }, [{ child: key('a2'), parent: key('a1') }]],
    ];

    for (const [name, fields, expected] of cases) t.same(lineageLinks(origin, read(body({}, fields))), expected, name);
  });
});

/** The allocation events of a recording, byte for byte. */
async function recordedEvents(name: RecordingName): Promise<Buffer[]> {
  const events: Buffer[] = [];
  for (const line of await readRecording(name)) {
    forEachMember(line, 0, (key, at) => {
      if (key === 'Events')
        forEachElement(line, at, (from, to) => {
          events.push(line.subarray(from, to));
        });
    });
  }
  return events.filter((event) => event.includes('"Topic":"Allocation"'));
}

for (const name of ['crashing-cluster', 'nomad-firehose-parity', 'burst'] as const) {
  t.test(`the byte test misses no crash in ${name}`, async (t) => {
    const unmentioned = (await recordedEvents(name)).filter((event) => !mayHoldCrash(event));

    t.ok(unmentioned.length > 0);
    t.same(
      unmentioned.filter((event) => extractCrashes(read(event)).some(hasCrashes)),
      [],
    );
  });
}

t.test('the recording shows the restarts that it is known to hold', async (t) => {
  const numbers = new Map<string, Set<string>>();
  for (const event of await recordedEvents('crashing-cluster')) {
    const allocation = read(event);
    for (const { task, restarts, failures } of extractCrashes(allocation)) {
      const seen = (kind: string): Set<string> => {
        const key = `${allocation.jobId} ${task.name} ${kind}`;
        return numbers.get(key) ?? numbers.set(key, new Set()).get(key) ?? new Set();
      };
      for (const { number, kind } of restarts) seen(kind).add(`${allocation.id}#${number}`);
      if (failures.length > 0) seen('failed').add(allocation.id);
    }
  }

  t.same(Object.fromEntries([...numbers].map(([key, ids]) => [key, ids.size])), {
    'checkout-api server crash': 7,
    'thumbnailer worker crash': 340,
    'billing-sync sync crash': 11,
    'billing-sync sync failed': 11,
    'geo-index index failed': 14,
    'node-agent agent crash': 13,
    'web nginx requested': 6,
    'feature-flags flags requested': 1,
  });
});
