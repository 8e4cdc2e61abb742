/**
 * `make demo`: plays the bundled recording through the simulator to the real standalone process, prints what comes out
 * and a summary. Needs nothing but Node. On a terminal the page of crash loops stays open until Ctrl-C; elsewhere it
 * ends by itself. Ends with 0 when every event came out and exactly the recording's crash loops were announced.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { gunzipSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
const speed = 12;
const limitMs = 60_000;
const pollMs = 100;
const eventsShown = 12;
/** The jobs that crash in the recording: see fixtures/README.md. */
const loopingJobs = ['billing-sync', 'checkout-api', 'geo-index', 'node-agent', 'thumbnailer'];
const isTerminal = process.stdout.isTTY === true;
const paint = (code, text) => (isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text);
const say = (text) => process.stdout.write(`${text}\n`);

async function countExpectedEvents() {
  const hashes = gunzipSync(await readFile(join(repository, 'fixtures/crashing-cluster/event-hashes.ndjson.gz')));
  return hashes.toString('utf8').trimEnd().split('\n').length;
}

/**
 * Starts a process of the project; its stderr is kept for the case that it fails. Ctrl-C of the terminal is for this
 * script alone, which ends it in order.
 */
function start(script, args, env = {}) {
  const child = spawn(process.execPath, [join(repository, script), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  child.log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    child.log = (child.log + text).slice(-20_000);
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

async function startSimulator() {
  const child = start('simulator/dist/main.js', [
    '--recording',
    'crashing-cluster',
    '--speed',
    String(speed),
    '--shift-to-now',
    '--port',
    '0',
    '--control-port',
    '0',
    '--paused',
  ]);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const [, url, control] = /listens at (\S+), control at (http:\/\/[^/\s]+)/.exec(line) ?? [];
  if (url === undefined) throw new Error(`Expected the simulator to name its address, got: ${line}\n${child.log}`);
  return { child, url, control };
}

function describeEvent(event) {
  return `${String(event.Index).padStart(5)}  ${event.Topic.padEnd(11)} ${event.Type.padEnd(30)} ${event.Namespace === '' ? '-' : event.Namespace}  ${event.Key.slice(0, 36)}`;
}

function describeAlert(alert) {
  const { JobID, GroupName, TaskName } = alert.LastEvent;
  const why = [...(alert.Reasons ?? [])].join('; ');
  return `${paint('1;31', 'CRASH LOOP')}  ${JobID} / ${GroupName} / ${TaskName}: ${alert.Count} crashes within ${alert.Interval}${why === '' ? '' : ` (${why})`}\n            next: ${alert.NextStep ?? ''}`;
}

/** Where the page is, as the log of standalone names it. */
async function findPage(child) {
  while (child.exitCode === null) {
    if (interrupted.signal.aborted) return '';
    const [, url] = /"address":"(http:[^"]+)"[^\n]*Admin server listens/.exec(child.log) ?? [];
    if (url !== undefined) return `${url}/`;
    await sleep(pollMs);
  }
  throw new Error(`Expected standalone to name its address, it ended\n${child.log}`);
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    interrupted.abort();
  });

const expected = await countExpectedEvents();
const folder = await mkdtemp(join(tmpdir(), 'hydrant-demo-'));
const configFile = join(folder, 'hydrant.toml');
await writeFile(
  configFile,
  '[[sink]]\nname = "demo"\ntype = "stdout"\nbindings = ["event.#", "crash-loop"]\nSINK_BATCH_AGE = "100ms"\n',
);

const startedAt = performance.now();
const simulator = await startSimulator();
const standalone = start('services/standalone/dist/main.js', [], {
  CONFIG_FILE: configFile,
  DATA_DIR: join(folder, 'data'),
  NOMAD_ADDR: simulator.url,
  HTTP_PORT: '0',
});
const topics = new Map();
const alerts = [];
let events = 0;

function take(line) {
  const body = JSON.parse(line);
  if (body.LastEvent !== undefined) {
    alerts.push(body);
    say(describeAlert(body));
    return;
  }
  events += 1;
  topics.set(body.Topic, (topics.get(body.Topic) ?? 0) + 1);
  if (events <= eventsShown) say(paint('2', describeEvent(body)));
  else if (events % 150 === 0) say(paint('2', `       … ${events} of ${expected} events`));
}

const page = await findPage(standalone);
say(
  `Playing 72 seconds of a real Nomad cluster at ${speed} times its speed. What crash-loops is shown at ${paint('4', page)}\n`,
);
createInterface({ input: standalone.stdout }).on('line', take);
await fetch(`${simulator.control}/control/resume`, { method: 'POST' });
while (
  (events < expected || alerts.length < loopingJobs.length) &&
  standalone.exitCode === null &&
  !interrupted.signal.aborted &&
  performance.now() - startedAt < limitMs
) {
  await sleep(pollMs);
}
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
say(
  `\n${events} of ${expected} events in ${seconds} s: ${[...topics].map(([topic, count]) => `${count} ${topic}`).join(', ')}`,
);
const announced = alerts.map((alert) => alert.LastEvent.JobID);
const isEachLoopAnnouncedOnce = announced.toSorted().join() === loopingJobs.join();
say(`${alerts.length} crash loops: ${announced.join(', ')}`);
if (isEachLoopAnnouncedOnce) say('Not announced, because people or templates restarted them: web, feature-flags.');
const isWell = events >= expected && isEachLoopAnnouncedOnce && standalone.exitCode === null;

if (isWell && isTerminal) {
  say(
    `\nThe page stays open at ${paint('4', page)} until you press Ctrl-C. A loop leaves it ten minutes after its last crash.`,
  );
  while (standalone.exitCode === null && !interrupted.signal.aborted) await sleep(pollMs);
}
standalone.kill('SIGTERM');
if (standalone.exitCode === null) await once(standalone, 'exit');
simulator.child.kill('SIGTERM');
await rm(folder, { recursive: true, force: true });

if (!isWell && interrupted.signal.aborted) {
  process.exitCode = 130;
} else if (!isWell || standalone.exitCode !== 0) {
  say(
    `\nExpected ${expected} events, one crash loop of each of ${loopingJobs.join(', ')} and exit code 0, got ${events} events, the loops above and exit code ${standalone.exitCode}. The log of standalone:\n${standalone.log}`,
  );
  process.exitCode = 1;
} else {
  say('\nNext: `node services/standalone/dist/main.js --help`, or read README.md for the three ways to run it.');
}
