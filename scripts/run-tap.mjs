/**
 * Runs tap and reads its report as it comes: one line per file, what failed in full, what was skipped by name, and the
 * totals that tap itself does not put in words.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const say = (text) => process.stdout.write(`${text}\n`);

/**
 * Keeps of one file's report what leads to a failure: passed assertions and tests that passed as a whole are taken out
 * again.
 */
function createFailureReport() {
  let kept = [];
  const open = [];
  return {
    take(line) {
      const indent = line.search(/\S/u);
      if (/^\s*# Subtest: /u.test(line)) {
        open.push({ indent, start: kept.length });
        kept.push(line);
      } else if (/^\s*(?:not )?ok \d+/u.test(line)) {
        const test = open.at(-1)?.indent === indent ? open.pop() : undefined;
        if (line.includes('not ok')) kept.push(line);
        else if (test !== undefined) kept = kept.slice(0, test.start);
      } else if (!/^\s*(?:1\.\.\d+|# time=\S+)?$/u.test(line)) kept.push(line);
    },
    text: () => kept.join('\n'),
  };
}

/** Reads lines of TAP; `totals` are there once the closing comment has been read. */
function createReader() {
  let report = createFailureReport();
  const reader = { totals: undefined, skipped: [], failedFiles: [] };
  let awaitsDiagnostics = false;

  function endFile(line) {
    const [, not, name, time] = /^(not )?ok \d+ - (.*?)(?: # time=([\d.]+)ms)?(?: \{)?$/u.exec(line) ?? [];
    if (name === undefined) return;
    say(`${not === undefined ? 'ok    ' : 'NOT OK'}  ${name}  ${(Number(time ?? 0) / 1000).toFixed(1)} s`);
    awaitsDiagnostics = not !== undefined;
    if (awaitsDiagnostics) reader.failedFiles.push(name);
    else report = createFailureReport();
  }

  reader.take = (line) => {
    const skip = /^\s*(?:not )?ok \d+ - (.*?) # SKIP ?(.*)$/u.exec(line);
    if (skip !== null) reader.skipped.push(`${skip[1]}: ${skip[2]}`);
    const totals = /^# \{ total: \d+(?:, pass: (\d+))?(?:, fail: (\d+))?/u.exec(line);
    if (totals !== null) reader.totals = { passed: Number(totals[1] ?? 0), failed: Number(totals[2] ?? 0) };
    else if (/^(?:not )?ok /u.test(line)) endFile(line);
    else if (line.startsWith('    ') || line.startsWith('  ') || line === '' || line.startsWith('# Subtest'))
      report.take(line);
    // The diagnostics of a failed file close its report.
    if (awaitsDiagnostics && line === '  ...') {
      say(`${report.text()}\n`);
      report = createFailureReport();
      awaitsDiagnostics = false;
    }
  };
  return reader;
}

/** `args` are tap's own. A tap that ends badly without a failed test (killed, out of memory) counts as one failure. */
async function runOnce(args, env) {
  const tap = spawn(process.execPath, ['node_modules/.bin/tap', '--reporter=tap', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const reader = createReader();
  const exited = once(tap, 'close');
  for await (const line of createInterface({ input: tap.stdout })) reader.take(line);
  const [code, signal] = await exited;
  const status = code ?? 1;
  const totals = reader.totals ?? { passed: 0, failed: 0 };
  if (status !== 0 && totals.failed === 0) {
    say(`tap ended with ${signal ?? `exit status ${status}`} though no test failed`);
    totals.failed = 1;
  }
  return { ...totals, skipped: reader.skipped, failedFiles: reader.failedFiles, status };
}

/** More failed files than these are no accident. */
const maxRepeatedFiles = 3;

/**
 * Runs `files` (paths or patterns; none: those of tap's settings) with tap's `options`. Files that fail are run once
 * more, one by one: what passes then is told as flaky by `closeReport`. Resolves with the totals, what was skipped, the
 * flaky files, and tap's exit status.
 */
export async function runTap({ options = [], files = [], env = {} }) {
  const first = await runOnce([...options, ...files], env);
  const failed = first.failedFiles;
  if (failed.length === 0 || failed.length > maxRepeatedFiles) return { ...first, flaky: [] };
  say(`Once more, to tell flaky from broken: ${failed.join(', ')}`);
  const second = await runOnce(
    [...options.filter((option) => !option.startsWith('--jobs')), '--jobs=1', ...failed],
    env,
  );
  return {
    passed: first.passed + second.passed,
    failed: second.failed,
    skipped: first.skipped,
    flaky: failed.filter((file) => !second.failedFiles.includes(file)),
    status: second.status,
  };
}

/** The closing lines of a command that ran tap once or several times; gives its exit status. */
export function closeReport(runs) {
  for (const line of runs.flatMap((run) => run.skipped)) say(`skipped  ${line}`);
  for (const file of runs.flatMap((run) => run.flaky))
    say(`flaky  ${file} failed, and passed when it was run again: find out why`);
  const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
  say(`${sum('passed')} passed, ${sum('failed')} failed`);
  return runs.find((run) => run.status !== 0)?.status ?? 0;
}
