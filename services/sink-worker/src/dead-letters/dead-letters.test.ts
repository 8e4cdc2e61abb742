import { Writable } from 'node:stream';
import type { DeadLetterStore, DeadLetterVerdict } from '@hydrant/shared/bus/dead-letter-store';
import type { DeadLetter } from '@hydrant/shared/bus/dead-letters';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import t from 'tap';
import { runDeadLetters } from './dead-letters-command.ts';
import { readDeadLetterRequest } from './request.ts';
import { formatJson, formatTable, toRow } from './show-letters.ts';

const never = new AbortController().signal;
const nowMs = Date.parse('2026-05-06T12:00:00Z');

function makeLetter(n: number, changes: Partial<DeadLetter> = {}): DeadLetter {
  return {
    message: {
      id: `default/${String(n)}/Job/default/web/0`,
      routingKey: 'event.Job.JobRegistered.default.web',
      type: 'nomad.Job.JobRegistered',
      contentType: 'application/json',
      appId: 'test',
      timestampMs: 0,
      headers: { cluster: 'default' },
      body: Buffer.from('{"a":"ä"}'),
    },
    error: 'Expected 200, got 400: bad',
    attempts: 2,
    failedAt: '2026-05-06T11:00:00.000Z',
    sink: 'http',
    ...changes,
  };
}

/** A store in memory: what was decided of each letter. */
function makeStore(letters: readonly DeadLetter[]): {
  readonly store: DeadLetterStore;
  readonly verdicts: DeadLetterVerdict[];
} {
  const verdicts: DeadLetterVerdict[] = [];
  return {
    verdicts,
    store: {
      async sweep(decide) {
        verdicts.push(...letters.map(decide));
        return { replayed: 0, dropped: 0 };
      },
    },
  };
}

async function run(
  letters: readonly DeadLetter[],
  ...args: readonly string[]
): Promise<{ readonly verdicts: readonly DeadLetterVerdict[]; readonly said: string }> {
  let said = '';
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      said += chunk.toString();
      done();
    },
  });
  const { store, verdicts } = makeStore(letters);
  await runDeadLetters(readDeadLetterRequest(args, nowMs), [{ queue: 'hydrant.sink.http', store }], {
    out: createLineWriter(output),
    signal: never,
  });
  return { verdicts, said };
}

void t.test('filters choose letters, and all of them must fit', (t) => {
  const other = makeLetter(2, { error: 'timed\nout', failedAt: '2026-05-06T09:00:00.000Z' });
  const allocation = makeLetter(3, {
    message: {
      ...makeLetter(3).message,
      type: 'nomad.Allocation.AllocationUpdated',
      routingKey: 'event.Allocation.AllocationUpdated.default.web',
    },
    failedAt: '',
  });
  const cases: readonly (readonly [readonly string[], readonly number[]])[] = [
    [[], [1, 2, 3]],
    [
      ['--id', makeLetter(1).message.id, '--id', makeLetter(3).message.id],
      [1, 3],
    ],
    [
      ['--error', 'got 400'],
      [1, 3],
    ],
    [['--error', '/TIMED\\s+out$/i'], [2]],
    [['--topic', 'Allocation'], [3]],
    [
      ['--routing-key', 'event.*.*.default.web'],
      [1, 2, 3],
    ],
    [
      ['--routing-key', 'event.Job.#'],
      [1, 2],
    ],
    [['--since', '90m'], [1]],
    [
      ['--since', '2026-05-06T08:00:00Z'],
      [1, 2],
    ],
    [['--topic', 'Job', '--error', '400'], [1]],
  ];
  for (const [args, expected] of cases) {
    const { matches } = readDeadLetterRequest(['list', ...args], nowMs);
    t.same(
      [makeLetter(1), other, allocation].flatMap((letter, n) => (matches(letter) ? [n + 1] : [])),
      expected,
      args.join(' '),
    );
  }
  t.end();
});

void t.test('arguments that mean nothing are refused with the usage', (t) => {
  const cases = [
    [],
    ['show'],
    ['list', 'all'],
    ['list', '--colour'],
    ['drop'],
    ['drop', '--all', '--error', 'x'],
    ['list', '--limit', '0'],
    ['list', '--limit', 'many'],
    ['list', '--since', 'yesterday'],
    ['list', '--error', '/(/'],
  ];
  for (const args of cases)
    t.throws(
      () => readDeadLetterRequest(args, nowMs),
      { code: 'arguments-invalid', message: /Expected[^]*Usage: dead-letters|Unknown option[^]*Usage: dead-letters/u },
      args.join(' '),
    );
  t.end();
});

void t.test('list shows the oldest as a table and keeps all', async (t) => {
  const { verdicts, said } = await run(
    [makeLetter(1), makeLetter(2, { error: `line\n\u001b[31m${'x'.repeat(500)}`, attempts: undefined }), makeLetter(3)],
    'list',
    '--limit',
    '2',
  );

  t.same(verdicts, ['keep', 'keep', 'keep']);
  const [head, first, second, summary] = said.split('\n');
  t.match(head, /^FAILED AT +TRIES +ID +ROUTING KEY +ERROR$/u);
  t.match(
    first,
    /^2026-05-06T11:00:00\.000Z +2 +default\/1\/Job\/default\/web\/0 +event\.Job\.JobRegistered\.default\.web +Expected 200, got 400: bad$/u,
  );
  t.match(second, /line \[31mx+…$/u);
  t.equal(summary, '2 of 3 dead letters of hydrant.sink.http');
});

void t.test('json has a line for each letter, with its body', async (t) => {
  const { said } = await run(
    [makeLetter(1), makeLetter(2, { message: { ...makeLetter(2).message, body: Buffer.from([0xff]) } })],
    'list',
    '--json',
  );

  const lines = said
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  t.match(lines, [
    { id: makeLetter(1).message.id, error: /400/u, attempts: 2, sink: 'http', body: '{"a":"ä"}', bodyEncoding: 'utf8' },
    { body: '/w==', bodyEncoding: 'base64' },
  ]);
  t.equal(lines.length, 2);
  t.equal(formatJson(makeLetter(1)), said.split('\n')[0]);
});

void t.test('replay and drop act on what fits, up to the limit, and a dry run acts on nothing', async (t) => {
  const letters = [makeLetter(1), makeLetter(2, { error: 'other' }), makeLetter(3), makeLetter(4)];
  const cases: readonly (readonly [readonly string[], readonly DeadLetterVerdict[], RegExp])[] = [
    [['replay'], ['replay', 'replay', 'replay', 'replay'], /^4 dead letters of hydrant\.sink\.http were replayed\n$/u],
    [
      ['replay', '--error', '400', '--limit', '2'],
      ['replay', 'keep', 'replay', 'keep'],
      /^2 of 3 dead letters of \S+ were replayed\n$/u,
    ],
    [
      ['replay', '--error', 'other', '--dry-run'],
      ['keep', 'keep', 'keep', 'keep'],
      /other\n1 dead letter of \S+ would be replayed\n$/u,
    ],
    [
      ['drop', '--id', makeLetter(4).message.id],
      ['keep', 'keep', 'keep', 'drop'],
      /^1 dead letter of \S+ was dropped\n$/u,
    ],
    [['drop', '--all'], ['drop', 'drop', 'drop', 'drop'], /^4 dead letters of \S+ were dropped\n$/u],
  ];
  for (const [args, expected, sentence] of cases) {
    const { verdicts, said } = await run(letters, ...args);
    t.same(verdicts, expected, args.join(' '));
    t.match(said, sentence);
  }
});

void t.test('columns are as wide as what stands in them', (t) => {
  const lines = formatTable([toRow(makeLetter(1)), toRow(makeLetter(1000))]);
  t.equal(new Set(lines.map((line) => line.search(/ROUTING|event\./u))).size, 1);
  t.end();
});
