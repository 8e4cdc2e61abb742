/**
 * The jobs of deploy/nomad: every variable says what it is for, every task has time to stop in, servers are of versions
 * that were tried, and where NOMAD_BIN or a `nomad` on PATH is there, Nomad's own parser takes each file and finds
 * nothing to format. Where it is not, one line says so.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { untestedImages } from './tested-versions.mjs';

const folder = 'deploy/nomad';
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.hcl'))
  .map((name) => `${folder}/${name}`);
const jobs = files.filter((file) => file.endsWith('.nomad.hcl'));
const problems = [];

function checkVariables(file, text) {
  for (const [, name, body] of text.matchAll(/^variable "([^"]+)" \{\n([\s\S]*?)^\}/gmu)) {
    if (!/^ {2}description = "[A-Z].*\."$/mu.test(body))
      problems.push(`${file}: Expected variable "${name}" to have a description that is a sentence`);
    if (!/^ {2}type +=/mu.test(body)) problems.push(`${file}: Expected variable "${name}" to have a type`);
    if (!text.includes(`var.${name}`)) problems.push(`${file}: Nothing uses variable "${name}"`);
  }
}

function secondsOf(text, pattern) {
  const [, seconds] = pattern.exec(text) ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}

function checkStop(file, text) {
  const shutdown = secondsOf(text, /SHUTDOWN_TIMEOUT += "(\d+)s"/u);
  const kill = secondsOf(text, /kill_timeout += "(\d+)s"/u);
  if (kill === undefined || (shutdown !== undefined && kill <= shutdown))
    problems.push(`${file}: Expected kill_timeout above SHUTDOWN_TIMEOUT (${shutdown} s), got ${kill} s`);
}

function run(binary, ...args) {
  const { status, stdout, stderr } = spawnSync(binary, args, { encoding: 'utf8' });
  if (status !== 0) problems.push(`nomad ${args.join(' ')} ended with ${status}: ${`${stdout}${stderr}`.trim()}`);
}

for (const file of jobs) {
  const text = readFileSync(file, 'utf8');
  checkVariables(file, text);
  checkStop(file, text);
  problems.push(...untestedImages(file, text));
}

const binary = process.env.NOMAD_BIN ?? 'nomad';
const isThere = spawnSync(binary, ['version'], { stdio: 'ignore' }).status === 0;
if (isThere) {
  run(binary, 'fmt', '-check', ...files);
  // n.b. `job validate` asks an agent; parsing and evaluating need none.
  for (const file of jobs) run(binary, 'job', 'run', '-output', file);
}
const parsedBy = isThere ? 'parsed by nomad' : 'parsing skipped: neither NOMAD_BIN nor `nomad` on PATH is there';
process.stdout.write(
  problems.length === 0 ? `The Nomad jobs are in order (${parsedBy})\n` : `${problems.join('\n')}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
