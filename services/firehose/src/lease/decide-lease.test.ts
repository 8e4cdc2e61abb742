import t from 'tap';
import {
  decideLease,
  isWithin,
  type LeaseDecision,
  type LeaseNews,
  type LeaseState,
  type Moment,
} from './decide-lease.ts';

const lastsMs = 3_000;

function at(ms: number): Moment {
  return { monotonicMs: ms, wallMs: 1_000_000 + ms };
}

const standby: LeaseState = { role: 'standby', leader: undefined };
const follower: LeaseState = { role: 'standby', leader: 'b' };
const leader: LeaseState = { role: 'leader', token: '7', since: at(0) };
const paused: LeaseState = { role: 'paused' };
const silence: LeaseNews = { kind: 'silence' };
const heldByB: LeaseNews = { kind: 'held', by: 'b' };

function granted(askedAtMs: number, token = '7'): LeaseNews {
  return { kind: 'granted', token, askedAt: at(askedAtMs) };
}

const table: readonly (readonly [string, LeaseState, LeaseNews, Moment, LeaseDecision])[] = [
  [
    'a standby that is granted the lease leads',
    standby,
    granted(10),
    at(20),
    { state: { role: 'leader', token: '7', since: at(10) }, change: 'leads' },
  ],
  [
    'a standby does not lead by a reply that took longer than the lease',
    standby,
    granted(10),
    at(3_010),
    { state: standby },
  ],
  ['a standby learns who leads', standby, heldByB, at(20), { state: follower, change: 'follows' }],
  [
    'a standby learns that it is another one now',
    { role: 'standby', leader: 'c' },
    heldByB,
    at(20),
    { state: follower, change: 'follows' },
  ],
  ['a standby that hears the same again stays', follower, heldByB, at(20), { state: follower }],
  ['a standby that hears nothing stays', follower, silence, at(99_000), { state: follower }],
  [
    'a leader goes on from the time it asked',
    leader,
    granted(1_000),
    at(1_900),
    { state: { role: 'leader', token: '7', since: at(1_000) } },
  ],
  [
    'a leader takes a new token when the store had forgotten it',
    leader,
    granted(1_000, '8'),
    at(1_001),
    { state: { role: 'leader', token: '8', since: at(1_000) } },
  ],
  ['a leader that hears nothing leads while the lease lasts', leader, silence, at(2_999), { state: leader }],
  ['a leader that hears nothing pauses when it ends', leader, silence, at(3_000), { state: paused, change: 'pauses' }],
  [
    'a leader whose reply took longer than the lease pauses',
    leader,
    granted(0),
    at(3_000),
    { state: paused, change: 'pauses' },
  ],
  ['a leader is deposed by another one', leader, heldByB, at(100), { state: follower, change: 'deposed' }],
  [
    'who is paused resumes when granted, with the new token',
    paused,
    granted(9_000, '9'),
    at(9_010),
    { state: { role: 'leader', token: '9', since: at(9_000) }, change: 'resumes' },
  ],
  ['who is paused stays so by an old reply', paused, granted(1_000), at(9_010), { state: paused }],
  ['who is paused and hears nothing stays so', paused, silence, at(99_000), { state: paused }],
  ['who is paused is deposed by another one', paused, heldByB, at(9_000), { state: follower, change: 'deposed' }],
];

for (const [name, state, news, now, expected] of table) {
  t.test(name, (t) => {
    t.strictSame(decideLease(state, news, now, lastsMs), expected);
    t.end();
  });
}

t.test('the lease ends by whichever clock went further', (t) => {
  const since = at(0);
  t.ok(isWithin(since, at(2_999), lastsMs));
  t.notOk(isWithin(since, { monotonicMs: 3_000, wallMs: since.wallMs }, lastsMs), 'the wall clock was set back');
  t.notOk(isWithin(since, { monotonicMs: 10, wallMs: since.wallMs + 60_000 }, lastsMs), 'the machine was suspended');
  t.end();
});
