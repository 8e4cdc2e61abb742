import { systemClock, type Clock, type Timer } from '@hydrant/shared/foundation/clock';
import t from 'tap';
import type { LeaseReply, LeaseStore } from './lease-store.ts';
import { Lease, type LeaseTelemetry } from './lease.ts';

const forever = new AbortController().signal;

/** Time stands still until it is told to go on, with or without the timers. */
class ManualClock implements Clock {
  #ms = 0;
  #timers: { readonly dueMs: number; readonly action: () => void }[] = [];

  now(): number {
    return this.#ms;
  }
  monotonic(): number {
    return this.#ms;
  }
  every(): Timer {
    throw new Error('Expected no periodic timer');
  }

  after(ms: number, action: () => void): Timer {
    const timer = { dueMs: this.#ms + ms, action };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.after(ms, done);
      signal?.addEventListener('abort', done);
    });
  }

  /** Like a process that was stopped: no timer has run yet. */
  jump(ms: number): void {
    this.#ms += ms;
  }

  async advance(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      this.#ms += 100;
      await this.run();
    }
  }

  async run(): Promise<void> {
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#ms);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { action } of due) action();
    await systemClock.sleep(0);
  }
}

interface Rig {
  readonly lease: Lease;
  readonly clock: ManualClock;
  readonly told: string[];
  /** What the store answers from now on. */
  answer: () => Promise<LeaseReply>;
  readonly released: string[];
}

function granted(token: string): () => Promise<LeaseReply> {
  return () => Promise.resolve({ outcome: 'granted', token });
}

function heldByB(): Promise<LeaseReply> {
  return Promise.resolve({ outcome: 'held', by: 'b' });
}

function away(): Promise<LeaseReply> {
  return Promise.reject(new Error('nobody there'));
}

function silent(): Promise<LeaseReply> {
  return new Promise(() => undefined);
}

async function start(first: () => Promise<LeaseReply>): Promise<Rig> {
  const clock = new ManualClock();
  const told: string[] = [];
  const released: string[] = [];
  const store: LeaseStore = {
    description: 'a fake',
    take: () => rig.answer(),
    release: (holder) => {
      released.push(holder);
      return Promise.resolve();
    },
  };
  const telemetry: LeaseTelemetry = {
    leaseGranted: ({ token, wasPaused }) => {
      told.push(`${wasPaused ? 'resumes' : 'leads'} ${token}`);
    },
    leaseFollowed: ({ leader }) => {
      told.push(`follows ${leader}`);
    },
    leaseEnded: ({ err }) => {
      told.push(`ended: ${String(err?.message)}`);
    },
    leaseLost: ({ leader }) => {
      told.push(`lost to ${leader}`);
    },
    leaseUnknown: ({ err }) => {
      told.push(`unknown: ${err.message}`);
    },
    leaseReleased: ({ err }) => {
      told.push(err === undefined ? 'released' : `not released: ${err.message}`);
    },
    watchLease: () => undefined,
  };
  const rig: Rig = {
    lease: new Lease({ holder: 'a' }, { store, telemetry, clock }),
    clock,
    told,
    released,
    answer: first,
  };
  rig.lease.start();
  await clock.run();
  return rig;
}

t.test('a leader renews each second, and leads for as long as it does', async (t) => {
  let asked = 0;
  const { lease, clock, told } = await start(() => {
    asked += 1;
    return granted('7')();
  });

  await clock.advance(10_000);

  t.ok(lease.isHeld);
  t.equal(lease.token, '7');
  t.equal(asked, 11);
  t.strictSame(told, ['leads 7']);
  t.strictSame(lease.healthCheck.check(), { status: 'pass', detail: 'leader: a' });
});

t.test('a process that was stopped past its lease holds it no more, before any timer has run', async (t) => {
  const rig = await start(granted('7'));
  const deposed = await rig.lease.lead(forever);
  rig.clock.jump(3_001);

  t.notOk(rig.lease.isHeld);
  t.equal(rig.lease.token, undefined);

  rig.answer = heldByB;
  await rig.clock.run();
  await rig.clock.advance(600);
  t.ok(deposed?.aborted);
  t.strictSame(rig.told, ['leads 7', 'ended: undefined', 'lost to b']);
  t.strictSame(rig.lease.healthCheck.check(), { status: 'pass', detail: 'standby: a, the leader is b' });
});

for (const [name, absence] of [
  ['is away', away],
  ['is silent', silent],
] as const) {
  t.test(`a leader whose store ${name} pauses when its lease ends, and resumes with a new token`, async (t) => {
    const rig = await start(granted('7'));
    const deposed = await rig.lease.lead(forever);
    rig.answer = absence;
    await rig.clock.advance(2_800);
    t.ok(rig.lease.isHeld, 'the lease outlasts a short absence');
    await rig.clock.advance(300);

    t.notOk(rig.lease.isHeld);
    t.match(rig.lease.healthCheck.check(), { status: 'fail', detail: /publishing waits/u });

    const held = rig.lease.untilHeld(forever);
    rig.answer = granted('8');
    await rig.clock.advance(1_000);
    await held;
    t.equal(rig.lease.token, '8');
    t.notOk(deposed?.aborted, 'nobody else led, so its term goes on');
    t.strictSame(
      rig.told.filter((line) => !line.startsWith('ended')),
      ['leads 7', 'resumes 8'],
    );
  });
}

t.test('a standby looks twice a second, says once that nobody answers, and leads when it may', async (t) => {
  const rig = await start(heldByB);
  await rig.clock.advance(1_000);
  rig.answer = away;
  await rig.clock.advance(5_000);
  t.match(rig.lease.healthCheck.check(), { status: 'fail', detail: /standby.*cannot take over: nobody there/u });
  rig.answer = granted('9');
  await rig.clock.advance(500);

  t.ok(rig.lease.isHeld);
  t.strictSame(rig.told, ['follows b', 'unknown: nobody there', 'leads 9']);
});

t.test('who stops gives the lease back once, who stands by has none to give', async (t) => {
  const leader = await start(granted('7'));
  await leader.lease.stop(forever);
  await leader.lease.stop(forever);
  t.strictSame([leader.released, leader.told], [['a'], ['leads 7', 'released']]);
  t.notOk(leader.lease.isHeld);

  const standby = await start(heldByB);
  await standby.lease.stop(forever);
  t.strictSame(standby.released, []);
});

t.test('waiting ends with its signal', async (t) => {
  const { lease } = await start(heldByB);
  const stopping = new AbortController();
  const waits = [lease.lead(stopping.signal), lease.untilHeld(stopping.signal)];

  stopping.abort();

  t.strictSame(await Promise.all(waits), [undefined, undefined]);
  t.equal(await lease.lead(AbortSignal.abort()), undefined);
});
