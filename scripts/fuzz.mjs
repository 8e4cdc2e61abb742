/**
 * `make fuzz`: every `*.fuzz.test.ts`, one after the other, each of its fuzzers for `--for` (10s, 1m). The last line is
 * `N passed, N failed`; the exit status is tap's.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { closeReport, runTap } from './run-tap.mjs';

const { values } = parseArgs({
  options: {
    for: { type: 'string', default: '1m' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});
const duration = /^(\d+)(s|m|h)$/u.exec(values.for);
if (duration === null || !/^\d+$/u.test(values.seed)) {
  process.stderr.write(
    `Expected FOR to be a duration such as 30s or 5m and SEED a whole number, got "${values.for}" and "${values.seed}"\n`,
  );
  process.exit(1);
}
const fuzzMs = Number(duration[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[duration[2]];

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.fuzz.test.ts'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && file.includes(values.only));
if (files.length === 0) {
  process.stderr.write(`No fuzzer has "${values.only}" in its path\n`);
  process.exit(1);
}
// A file may hold several fuzzers.
const timeoutSeconds = Math.ceil(fuzzMs / 1000) * 8 + 120;
const run = await runTap({
  options: ['--jobs=1', `--timeout=${timeoutSeconds}`],
  files,
  env: { FUZZ_MS: String(fuzzMs), FUZZ_SEED: values.seed },
});
process.exitCode = closeReport([run]);
