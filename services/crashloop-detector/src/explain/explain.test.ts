import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { readRecording, readRecordingFile } from '@hydrant/testing/recordings';
import { testFolder } from '@hydrant/testing/test-folder';
import { explain } from './explain-command.ts';
import { Explainer, type ExplainerOptions } from './explainer.ts';

const options: ExplainerOptions = {
  rules: { rule: { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 }, overrides: [] },
  groupBy: 'lineage',
};
const never = new AbortController().signal;

async function explainAll(lines: readonly Buffer[], changes: Partial<ExplainerOptions> = {}) {
  const explainer = new Explainer({ ...options, ...changes });
  const said: string[] = [];
  for (const line of lines) said.push(...(await explainer.take(line)));
  said.push(...(await explainer.end()));
  return { said, summary: explainer.summary() };
}

t.test('the recording is explained restart by restart', async (t) => {
  const { said, summary } = await explainAll(await readRecording('crashing-cluster'));
  const about = (job: string, verdict: string): number =>
    said.filter((line) => line.includes(`${job}/`) && line.includes(verdict)).length;

  t.match(
    said.find((line) => line.includes('checkout-api/')),
    /^2026-11-21T03:2\d:\d\d\.\d{3}Z {2}checkout-api\/app\/server {2}[0-9a-f]{8}#1 {2}counted: Restart within policy \(exit 17\)$/u,
  );
  t.equal(about('checkout-api', '  counted: '), 7);
  t.equal(about('geo-index', ' failed  counted: '), 14);
  t.equal(about('web', 'not counted: asked for by a person'), 6);
  t.equal(about('feature-flags', 'not counted: asked for'), 1);
  t.equal(said.filter((line) => line.includes('CRASH LOOP opened')).length, 5);
  t.match(
    said.find((line) => line.includes('CRASH LOOP opened  checkout-api')),
    /: 5 crashes within 10m; next: nomad alloc logs -stderr [0-9a-f-]{36} server$/u,
  );
  t.match(
    summary.join('\n'),
    /Crashes: 487 counted, 91 of them no longer shown by Nomad; 7 restarts or failures not counted\.\nRule: 5 crashes within 10m\.\nCrash loops that would be announced: 5\n/u,
  );
});

t.test('seeing everything twice and the other way round explains nothing twice', async (t) => {
  const lines = await readRecording('crashing-cluster');

  const once = await explainAll(lines);
  const twice = await explainAll([...lines, ...lines.toReversed()]);

  t.equal(
    twice.said.filter((line) => line.includes('counted:')).length,
    once.said.filter((line) => line.includes('counted:')).length,
  );
  t.equal(twice.summary[2], once.summary[2]);
});

t.test('a muted task says by which rule, and a short window says what is outside of it', async (t) => {
  const rule = { count: 3, intervalMs: 4000, notificationIntervalMs: 0 };
  const overrides = [{ matches: ({ job }: { readonly job: string }) => job === 'thumbnailer', isMuted: true, rule }];

  const { said, summary } = await explainAll((await readRecording('crashing-cluster')).toReversed(), {
    rules: { rule, overrides },
  });

  t.ok(
    said.some((line) => line.includes('thumbnailer/workers/worker') && line.endsWith('not counted: muted by rule 1')),
  );
  t.ok(
    said.some(
      (line) => line.includes('checkout-api/') && line.endsWith('not counted: 4s or more before the newest crash'),
    ),
  );
  t.match(summary.join('\n'), /Rule: 3 crashes within 4s, and 1 of their own for some tasks\./u);
});

t.test('single events, heartbeats and blank lines are read, what cannot be is named', async (t) => {
  const frame = (await readRecording('crashing-cluster')).find((line) => line.includes('Restart within policy'));
  const {
    Events: [event],
  } = JSON.parse(frame?.toString() ?? '') as { Events: [unknown] };
  const { said, summary } = await explainAll(
    [
      '{}',
      '',
      JSON.stringify(event),
      'hello\u001b[2J',
      '[1]',
      '{"Topic":"Job","Type":"JobRegistered","Index":1}',
      '{"Topic":"Allocation"}',
    ].map((line) => Buffer.from(line)),
  );

  t.ok(said.length >= 1);
  t.match(
    summary.join('\n'),
    /Events: 1 of allocations, 1 of them tell of restarts or failures; 1 of other topics, ignored\./u,
  );
  t.match(summary.slice(-4), [
    'Lines that cannot be used: 3',
    /^ {2}line 4: /u,
    /^ {2}line 5: /u,
    /^ {2}line 7: Expected a Nomad event with strings as Topic and Type, and an Index$/u,
  ]);
  t.notMatch(summary.join(''), '\u001b');
});

t.test('messages of nomad-firehose are explained as the detector takes them', async (t) => {
  const payloads = (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => Buffer.from(line));
  const restarts = payloads.filter((line) => {
    const { TaskEvent } = JSON.parse(line.toString()) as {
      TaskEvent: { Type: string; RestartReason: string; FailsTask: boolean };
    };
    return (
      TaskEvent.Type === 'Not Restarting' ||
      (TaskEvent.Type === 'Restarting' && TaskEvent.RestartReason !== '') ||
      (TaskEvent.Type === 'Setup Failure' && TaskEvent.FailsTask)
    );
  });

  const { said, summary } = await explainAll([...payloads, ...payloads]);

  t.ok(restarts.length > 0);
  t.equal(said.filter((line) => line.includes('  counted: ')).length, restarts.length);
  t.notMatch(summary.join('\n'), 'cannot be used');
});

t.test('the command reads a file or stdin, and refuses anything else', async (t) => {
  const lines = (await readRecording('crashing-cluster')).map((line) => line.toString());
  const folder = testFolder(t, { 'stream.ndjson': lines.join('\n') });
  const run = async (args: readonly string[], stdin = Readable.from([])): Promise<string> => {
    const stdout = new PassThrough();
    const said = text(stdout);
    await explain(options, { args, stdin, stdout, signal: never }).finally(() => {
      stdout.end();
    });
    return said;
  };

  const fromFile = await run([join(folder, 'stream.ndjson')]);
  t.match(fromFile, 'Crash loops that would be announced: 5\n');
  t.equal(await run(['-'], Readable.from([`${lines.join('\r\n')}\r\n`])), fromFile);
  await t.rejects(run([]), { code: 'arguments-invalid' });
  await t.rejects(run([join(folder, 'none')]), {
    code: 'file-unreadable',
    message: /none" to be a file that can be read, could not: ENOENT/u,
  });
});

t.test('the command ends when nobody reads any more', async (t) => {
  const lines = (await readRecording('crashing-cluster')).map((line) => `${line.toString()}\n`);
  const stdout = new PassThrough({ highWaterMark: 1 });
  stdout.once('data', () => {
    stdout.destroy(new Error('EPIPE'));
  });

  await t.resolves(explain(options, { args: ['-'], stdin: Readable.from(lines), stdout, signal: never }));
});
