/**
 * `make chaos`: faults by a plan that a seed repeats, under load; then every event is accounted for. Exit code 1 when
 * one is not, with the logs kept and the command that makes the same faults again. Folders of the log are damaged for a
 * minute afterwards. Arguments: --for, --seed, --shape, --rate, --spool.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listDeadLetters } from '../dead-letters.ts';
import { keepLogs } from '../keep-logs.ts';
import { accountFor, type Account } from './account.ts';
import { carryOut, evictAll, type CarriedFault } from './carry-out.ts';
import { setChaosStage, type ChaosStage } from './chaos-stage.ts';
import { makeCommand, readRunOptions, type RunDefaults, type RunOptions } from './command-line.ts';
import { planFaults, shortestMs } from './plan-faults.ts';
import { describeClosing, describeFault, describeProgress, format } from './report.ts';
import { startSupervisor } from './supervisor.ts';

const defaults: RunDefaults = { command: 'chaos', duration: '10m', shortestMs, eventsPerSecond: 200 };
const progressMs = 10_000;
const lookMs = 500;
/** How long the last events may take, and how long nothing at all may arrive before the rest is given up. */
const longestSettleMs = 240_000;
const longestQuietMs = 60_000;
const longestCatchUpMs = 60_000;
/** Of the last gap, whose newest states nothing shows but the lists. */
const lastGapEvents = 300;
const deadLetterLimitMs = 5_000;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function until(isDone: () => boolean, limitMs: number): Promise<void> {
  for (const limit = performance.now() + limitMs; !isDone() && performance.now() < limit;) await sleep(lookMs);
}

/**
 * Nomad forgets frames that nobody has read, and then nothing more happens: what was in them can only come from the
 * lists.
 */
async function endInGap(stage: ChaosStage, { eventsPerSecond }: RunOptions): Promise<void> {
  const {
    simulator: { control },
    tally,
  } = stage;
  await until(() => tally.made - tally.arrived - tally.refused < 2 * eventsPerSecond, longestCatchUpMs);
  await control.refuse();
  control.cut('reset');
  const made = tally.made;
  await until(() => tally.made >= made + lastGapEvents, longestCatchUpMs);
  control.pause();
  await evictAll(stage, 5);
}

/** Resolves when everything is accounted for, or when nothing more is to be expected. */
async function settle({ tally, shape }: ChaosStage): Promise<Account> {
  const limit = performance.now() + longestSettleMs;
  let account = accountFor(tally);
  let seen = '';
  let seenAt = performance.now();
  while (account.unaccounted.length > 0 && performance.now() < limit && performance.now() - seenAt < longestQuietMs) {
    await sleep(lookMs);
    account = accountFor(tally);
    const now = [tally.arrived, account.healed, account.superseded, account.deadLettered].join();
    if (now !== seen) seenAt = performance.now();
    seen = now;
    if (account.unaccounted.length === 0 || account.unaccounted.length > tally.refused) continue;
    for (const { body } of await listDeadLetters(shape)) tally.noteDeadLetter(Buffer.from(body));
    account = accountFor(tally);
    await sleep(account.unaccounted.length === 0 ? 0 : deadLetterLimitMs);
  }
  return account;
}

interface Outcome {
  readonly isAccountedFor: boolean;
  /** Whether a process ended by itself: its log says why. */
  readonly hasEndings: boolean;
}

async function play(stage: ChaosStage, options: RunOptions, folder: string): Promise<Outcome> {
  const { tally, shape, collector, simulator } = stage;
  const targets = {
    processes: [...stage.processes.keys()],
    servers: shape.servers.map(({ name }) => name),
    links: [...stage.links.keys()],
    hasDisk: stage.disk !== undefined,
  };
  const plan = planFaults({ seed: options.seed, durationMs: options.durationMs, targets });
  const keeper = keepLogs(stage.processes, folder);
  await shape.start();
  const startedAt = performance.now();
  const now = (): number => performance.now() - startedAt;
  simulator.control.resume();
  const supervisor = startSupervisor(stage.processes, now);
  const faults: CarriedFault[] = [];
  const progress = setInterval(() => {
    say(describeProgress({ seconds: now() / 1000, faults, planned: plan.length, tally }));
  }, progressMs);
  try {
    await carryOut(plan, {
      stage,
      supervisor,
      now,
      onBegun: (carried) => {
        faults.push(carried);
      },
    });
    await until(() => now() >= options.durationMs, options.durationMs);
    await endInGap(stage, options);
    const account = await settle(stage);
    say(
      `\n${describeClosing({ tally, account, faults, endings: supervisor.endings, alerts: collector.alerts.length })}`,
    );
    for (const { process: name, lastWords } of supervisor.endings)
      await appendFile(join(folder, 'endings.txt'), `${name}: ${lastWords}\n`);
    await writeFile(
      join(folder, 'unaccounted.ndjson'),
      account.unaccounted
        .map((event) => `${JSON.stringify({ ...event, madeAtMs: Math.round(event.madeAtMs - startedAt) })}\n`)
        .join(''),
    );
    return {
      isAccountedFor: account.unaccounted.length === 0 && tally.altered.length === 0 && tally.foreign === 0,
      hasEndings: supervisor.endings.length > 0,
    };
  } finally {
    clearInterval(progress);
    supervisor.close();
    await writeFile(join(folder, 'faults.txt'), faults.map((carried) => `${describeFault(carried)}\n`).join(''));
    await keeper.close();
  }
}

/**
 * What disks and people do to a folder of the log. Resolves with whether all that lay intact in it was read, and the
 * rest reported.
 */
async function damageFolders({ seed }: RunOptions): Promise<boolean> {
  const fuzzer = spawn(
    process.execPath,
    ['scripts/fuzz.mjs', '--for=1m', `--seed=${String(seed)}`, '--only=damaged-folders'],
    { stdio: 'inherit' },
  );
  const [code] = (await once(fuzzer, 'close')) as [number | null];
  const again = `make fuzz FOR=1m SEED=${String(seed)} ONLY=damaged-folders`;
  say(
    code === 0
      ? 'Damaged folders of the log, a minute: what lay intact was read, and the rest reported'
      : `Damaged folders of the log: failed, see above. The same again: ${again}`,
  );
  return code === 0;
}

async function main(): Promise<number> {
  const options = readRunOptions(process.argv.slice(2), defaults, Math.floor(Math.random() * 1_000_000));
  const command = makeCommand(options, defaults);
  say(`${command}: ${options.shapeName}, ${format(options.eventsPerSecond)} events/s`);
  const stage = await setChaosStage(options);
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-chaos-'));
  if (stage.disk === undefined)
    say(
      `skipped: disk full on the spool, ${options.spoolsToFolder ? 'which needs a tmpfs that only root on Linux can mount' : 'which is in memory'}`,
    );
  let outcome: Outcome = { isAccountedFor: false, hasEndings: false };
  try {
    outcome = await play(stage, options, folder);
  } finally {
    await stage.close();
    if (outcome.isAccountedFor && !outcome.hasEndings) await rm(folder, { recursive: true, force: true });
    else say(`Logs: ${folder}`);
  }
  const isRead = await damageFolders(options);
  say(
    `${outcome.isAccountedFor ? 'Every event is accounted for' : 'Not every event is accounted for'}. The same faults again: ${command}`,
  );
  return outcome.isAccountedFor && isRead ? 0 : 1;
}

for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    process.exit(1);
  });
// n.b. at once: after a failure, faults that are still under way would start things again.
const code = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
});
process.exit(code);
