/**
 * The compose files: every variable they read is told of in .env.example, which tells of no other, with the same
 * default; servers are of versions that were tried; and each generation of compose that is there parses them. Where
 * none is, one line says so.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { untestedImages } from './tested-versions.mjs';

const suite = readFileSync('docker-compose.yml', 'utf8');
const settings = readFileSync('deploy/compose/settings.yml', 'utf8');
const example = readFileSync('.env.example', 'utf8');
const problems = [];

function checkExample() {
  const shown = new Map([...example.matchAll(/^#?([A-Z][A-Z0-9_]*)=(.*)$/gmu)].map(([, name, value]) => [name, value]));
  const handedOn = new Set(
    [...settings.matchAll(/^ {6}([A-Z][A-Z0-9_]*):$|\$\{([A-Z][A-Z0-9_]*)/gmu)].map(([, name, inner]) => name ?? inner),
  );
  const defaults = new Map(
    [...suite.matchAll(/\$\{([A-Z][A-Z0-9_]*):-([^}]*)\}/gu)].map(([, name, value]) => [name, value]),
  );
  for (const [name, value] of defaults) {
    // n.b. the name of a worker's queue is nothing that one changes often.
    if (!shown.has(name) && name !== 'ALERT_SINK_NAME')
      problems.push(`.env.example: Expected ${name}, which docker-compose.yml reads, to be told of`);
    else if (shown.has(name) && shown.get(name) !== value)
      problems.push(`.env.example: Expected ${name}=${value} as in docker-compose.yml, got ${name}=${shown.get(name)}`);
  }
  for (const name of shown.keys()) {
    if (!defaults.has(name) && !handedOn.has(name))
      problems.push(`.env.example: tells of ${name}, which no service is given`);
  }
}

/** Every `docker compose` and `docker-compose` that runs on this machine. */
function findCompose() {
  return [['docker', 'compose'], ['docker-compose']].filter(
    ([command, ...args]) => spawnSync(command, [...args, 'version'], { stdio: 'ignore' }).status === 0,
  );
}

/** The suite by itself, with its profile, and with the file that an example lays over it. */
const variants = [
  [],
  ['--profile', 'demo'],
  ['--profile', 'observability'],
  ...readdirSync('examples')
    .map((name) => `examples/${name}/compose.yml`)
    .filter((file) => existsSync(file))
    .map((file) => ['-f', file]),
];

function checkParses([command, ...args]) {
  for (const variant of variants) {
    const { status, stderr } = spawnSync(command, [...args, '-f', 'docker-compose.yml', ...variant, 'config', '-q'], {
      encoding: 'utf8',
    });
    if (status !== 0)
      problems.push(`docker-compose.yml: ${[command, ...args, ...variant].join(' ')} refuses it: ${stderr.trim()}`);
  }
}

checkExample();
problems.push(...untestedImages('docker-compose.yml', suite));
const tools = findCompose();
tools.forEach(checkParses);
const parsedBy =
  tools.length === 0
    ? 'parsing skipped: neither `docker compose` nor `docker-compose` is there'
    : `parsed by ${tools.map((words) => words.join(' ')).join(' and ')}`;
process.stdout.write(
  problems.length === 0 ? `The compose files are in order (${parsedBy})\n` : `${problems.join('\n')}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
