/**
 * Carries a plan out. Each kind of fault has a beginning, which gives its end; what is asked of one target happens one
 * after the other, even when the machine is late.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '@hydrant/testing/fault-proxy';
import type { ServiceProcess } from '../service-process.ts';
import type { Server } from '../shape.ts';
import { isPoison, type ChaosStage } from './chaos-stage.ts';
import type { FaultKind, PlannedFault } from './plan-faults.ts';
import type { Supervisor } from './supervisor.ts';

export interface CarriedFault {
  readonly fault: PlannedFault;
  readonly beganAtMs: number;
  /** Undefined while it lasts. */
  endedAtMs: number | undefined;
}

export interface CarryOutPorts {
  readonly stage: ChaosStage;
  readonly supervisor: Supervisor;
  /** Milliseconds since the load began. */
  readonly now: () => number;
  /** Is told when a fault begins; `endedAtMs` is set later. */
  readonly onBegun: (carried: CarriedFault) => void;
}

type End = () => Promise<void> | void;
type Begin = (fault: PlannedFault, stage: ChaosStage, supervisor: Supervisor) => Promise<End> | End;

/** After the longest start of a server on a busy machine, something is wrong. */
const longestEndMs = 300_000;
const refillMs = 50;

/** Resolves when the last fault has ended. */
export async function carryOut(plan: readonly PlannedFault[], ports: CarryOutPorts): Promise<void> {
  const lastOf = new Map<string, Promise<void>>();
  for (const fault of plan) {
    await sleep(Math.max(0, fault.atMs - ports.now()));
    const before = lastOf.get(fault.target) ?? Promise.resolve();
    const done = before.then(() => carryOutOne(fault, ports));
    // Looked at below: a failure here must not end the process before.
    done.catch(() => undefined);
    lastOf.set(fault.target, done);
  }
  await Promise.all(lastOf.values());
}

async function carryOutOne(fault: PlannedFault, { stage, supervisor, now, onBegun }: CarryOutPorts): Promise<void> {
  const carried: CarriedFault = { fault, beganAtMs: now(), endedAtMs: undefined };
  onBegun(carried);
  const end = await begin[fault.kind](fault, stage, supervisor);
  await sleep(fault.forMs);
  const late = new AbortController();
  await Promise.race([
    end(),
    sleep(longestEndMs, undefined, { signal: late.signal }).then(() => {
      throw new Error(
        `Expected the fault ${fault.kind} of ${fault.target} to end within ${String(longestEndMs)} ms, it did not`,
      );
    }),
  ]);
  late.abort();
  carried.endedAtMs = now();
}

const begin: Readonly<Record<FaultKind, Begin>> = {
  async kill({ target }, stage, supervisor) {
    const process = processOf(stage, target);
    supervisor.hold(process);
    await process.kill();
    return async () => {
      await process.start({ wait: false });
      supervisor.release(process);
    };
  },
  freeze({ target }, stage) {
    const process = processOf(stage, target);
    process.signal('SIGSTOP');
    return () => {
      process.signal('SIGCONT');
    };
  },
  async 'server-restart'({ target }, stage) {
    const server = serverOf(stage, target);
    await server.stop();
    return () => server.start();
  },
  async 'server-kill'({ target }, stage) {
    const server = serverOf(stage, target);
    await server.kill();
    return () => server.start();
  },
  'server-freeze'({ target }, stage) {
    const server = serverOf(stage, target);
    server.freeze();
    return () => {
      server.thaw();
    };
  },
  'black-hole'({ target, form }, stage) {
    const link = linkOf(stage, target);
    link.blackHole();
    return () => {
      // What was held back is lost with its connection, or goes on late.
      if (form < 0.5) link.cutOnce();
      link.restore();
    };
  },
  'slow-link'({ target, form }, stage) {
    const link = linkOf(stage, target);
    link.latency(50 + 950 * form);
    return () => {
      link.latency(0);
    };
  },
  'sink-error': (_, { collector }) =>
    toggle((on) => {
      collector.setDown(on);
    }),
  'sink-hang': (_, { collector }) =>
    toggle((on) => {
      collector.setSilent(on);
    }),
  'sink-cut': (_, { collector }) =>
    toggle((on) => {
      collector.setDead(on);
    }),
  'sink-flaky': ({ form }, { collector }) =>
    toggle((on) => {
      collector.setFailing(on ? 2 + Math.floor(form * 5) : 0);
    }),
  'sink-refuse'(_, { collector, tally }) {
    collector.refuseWhere((event) => {
      const isRefused = isPoison(event);
      if (isRefused) tally.noteRefused(event);
      return isRefused;
    });
    return () => {
      collector.refuseWhere(undefined);
    };
  },
  'disk-full'(_, { disk }) {
    disk?.fill();
    // What the service gives back meanwhile is taken, too.
    const refill = setInterval(() => {
      disk?.fill();
    }, refillMs);
    return () => {
      clearInterval(refill);
      disk?.free();
    };
  },
  'stream-cut'({ form }, { simulator: { control } }) {
    if (form < 1 / 3) control.cut('end');
    else if (form < 2 / 3) control.cut('reset');
    else control.cutMidLine();
    return () => undefined;
  },
  async 'nomad-away'(_, { simulator: { control } }) {
    await control.refuse();
    control.cut('reset');
    return () => control.heal();
  },
  async 'nomad-stall'(_, { simulator: { control } }) {
    await control.stall();
    return () => control.heal();
  },
  async 'nomad-error'({ form }, { simulator: { control } }) {
    await (form < 0.5 ? control.answerError() : control.answerHtml());
    control.cut('end');
    return () => control.heal();
  },
  async evict({ form }, stage) {
    await stage.simulator.control.refuse();
    stage.simulator.control.cut('reset');
    return () => evictAll(stage, 5 + Math.floor(form * 50));
  },
};

/** Nomad forgets all but its newest frames, and can be read again. */
export async function evictAll({ simulator: { control } }: ChaosStage, framesKept: number): Promise<void> {
  control.evict((control.state.newestIndex ?? 0) - framesKept);
  await control.heal();
}

function toggle(set: (on: boolean) => void): End {
  set(true);
  return () => {
    set(false);
  };
}

function processOf({ processes }: ChaosStage, name: string): ServiceProcess {
  return expectFound(processes.get(name), name);
}

function serverOf({ shape }: ChaosStage, name: string): Server {
  return expectFound(
    shape.servers.find((server) => server.name === name),
    name,
  );
}

function linkOf({ links }: ChaosStage, target: string): FaultProxy {
  return expectFound(links.get(target.replace('link to ', '')), target);
}

function expectFound<Found>(found: Found | undefined, name: string): Found {
  if (found === undefined) throw new Error(`Expected the stage to have ${name}, it has not`);
  return found;
}
