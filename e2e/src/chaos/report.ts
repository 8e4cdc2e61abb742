/** What a run of chaos says: a line now and then, and a table at its end. Pure. */
import { joinRanges, type Account } from './account.ts';
import type { CarriedFault } from './carry-out.ts';
import type { EventTally } from './event-tally.ts';
import type { FaultKind } from './plan-faults.ts';
import type { Ending } from './supervisor.ts';

const words: Readonly<Record<FaultKind, string>> = {
  kill: 'killed (-9)',
  freeze: 'frozen (SIGSTOP)',
  'server-restart': 'stopped and started',
  'server-kill': 'server killed (-9)',
  'server-freeze': 'server frozen (SIGSTOP)',
  'black-hole': 'black hole',
  'slow-link': 'slow',
  'sink-error': 'answers 503',
  'sink-hang': 'never answers',
  'sink-cut': 'cuts requests',
  'sink-flaky': 'fails now and then',
  'sink-refuse': 'refuses some for good',
  'disk-full': 'disk full',
  'stream-cut': 'stream cut',
  'nomad-away': 'away',
  'nomad-stall': 'silent',
  'nomad-error': 'answers errors',
  evict: 'forgets frames',
};

export interface Progress {
  readonly seconds: number;
  readonly faults: readonly CarriedFault[];
  readonly planned: number;
  readonly tally: Pick<EventTally, 'made' | 'arrived'>;
}

export function describeProgress({ seconds, faults, planned, tally }: Progress): string {
  const now = faults
    .filter(({ endedAtMs }) => endedAtMs === undefined)
    .map(({ fault }) => `${fault.target} ${words[fault.kind]}`);
  return (
    `${pad(`${String(Math.round(seconds))} s`, 6)}  ${pad(`${String(faults.length)} of ${String(planned)}`, 10)} faults, ${pad(format(tally.made), 8)} events sent, ${pad(format(tally.arrived), 8)} delivered` +
    `${now.length === 0 ? '' : `; now: ${now.join(', ')}`}`
  );
}

export function describeFault({ fault, beganAtMs, endedAtMs }: CarriedFault): string {
  const end = endedAtMs === undefined ? 'lasts on' : `until ${(endedAtMs / 1000).toFixed(2)} s`;
  return `${(beganAtMs / 1000).toFixed(2)} s  ${fault.target} ${words[fault.kind]} for ${String(fault.forMs)} ms (planned at ${(fault.atMs / 1000).toFixed(2)} s, form ${fault.form.toFixed(3)}), ${end}`;
}

export interface Closing {
  readonly tally: EventTally;
  readonly account: Account;
  readonly faults: readonly CarriedFault[];
  readonly endings: readonly Ending[];
  readonly alerts: number;
}

export function describeClosing({ tally, account, faults, endings, alerts }: Closing): string {
  const gaps = joinRanges(tally.missed);
  const row = (name: string, count: number, note = ''): string =>
    `  ${name.padEnd(48)}${format(count).padStart(9)}${note === '' ? '' : `  ${note}`}`;
  return [
    'faults',
    ...countFaults(faults),
    'events',
    row('made', tally.made),
    row('delivered', account.delivered, `${format(tally.repeats)} repeats`),
    row('dead-lettered', account.deadLettered),
    row('dropped by Nomad unread, state from a list', account.healed),
    row(
      'dropped by Nomad unread, newer state delivered',
      account.superseded,
      `${String(gaps.length)} gaps with ${format(gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0))} events`,
    ),
    row('unaccounted for', account.unaccounted.length),
    row('delivered with other bytes than were sent', tally.altered.length),
    row('delivered and never sent', tally.foreign),
    row('alerts delivered', alerts),
    `  ended by themselves and started again: ${endings.length === 0 ? 'none' : describeEndings(endings)}`,
  ].join('\n');
}

function describeEndings(endings: readonly Ending[]): string {
  const names = [...new Set(endings.map(({ process }) => process))];
  return names
    .map((name) => {
      const own = endings.filter(({ process }) => process === name);
      return `\n    ${name} ${String(own.length)} times, first at ${String(Math.round((own[0]?.atMs ?? NaN) / 1000))} s: ${own[0]?.lastWords.slice(0, 1_000) ?? ''}`;
    })
    .join('');
}

function countFaults(faults: readonly CarriedFault[]): readonly string[] {
  const kinds = new Map<FaultKind, Map<string, number>>();
  for (const {
    fault: { kind, target },
  } of faults) {
    const targets = kinds.get(kind) ?? new Map<string, number>();
    kinds.set(kind, targets.set(target, (targets.get(target) ?? 0) + 1));
  }
  return [...kinds].map(([kind, targets]) => {
    const sum = [...targets.values()].reduce((total, count) => total + count, 0);
    const whom = [...targets]
      .map(([target, count]) => (targets.size === 1 ? target : `${target} ${String(count)}`))
      .join(', ');
    return `  ${words[kind].padEnd(26)}${String(sum).padStart(4)}  ${whom}`;
  });
}

export function format(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function pad(text: string, width: number): string {
  return text.padStart(width);
}
