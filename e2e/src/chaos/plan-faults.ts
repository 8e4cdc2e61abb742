/**
 * Which faults happen, when, to whom and for how long. Pure: the same seed, duration and targets give the same plan.
 *
 * Every kind gets its turn before any comes again, in an order that is shuffled anew for each round, and so do the
 * targets of a kind. Faults may overlap, but not two of one target: a process that is dead cannot be frozen.
 */
import { createRandom } from './random.ts';

export const faultKinds = [
  'kill',
  'freeze',
  'server-restart',
  'server-kill',
  'server-freeze',
  'black-hole',
  'slow-link',
  'sink-error',
  'sink-hang',
  'sink-cut',
  'sink-flaky',
  'sink-refuse',
  'disk-full',
  'stream-cut',
  'nomad-away',
  'nomad-stall',
  'nomad-error',
  'evict',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface FaultTargets {
  readonly processes: readonly string[];
  /** Servers that can be stopped, killed and frozen; none in standalone. */
  readonly servers: readonly string[];
  /** Connections that can be held up: to whom. */
  readonly links: readonly string[];
  /** Whether the disk of the spool can be filled. */
  readonly hasDisk: boolean;
}

export interface PlannedFault {
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly target: string;
  readonly forMs: number;
  /** From 0 to 1: for kinds that come in several forms. */
  readonly form: number;
}

export interface PlanRequest {
  readonly seed: number;
  readonly durationMs: number;
  readonly targets: FaultTargets;
}

/** Least and most milliseconds that a fault of the kind lasts. Between the two, short ones are more frequent. */
const lasting: Readonly<Record<FaultKind, readonly [number, number]>> = {
  kill: [100, 4_000],
  freeze: [500, 12_000],
  'server-restart': [100, 3_000],
  'server-kill': [100, 5_000],
  'server-freeze': [500, 15_000],
  'black-hole': [1_000, 25_000],
  'slow-link': [2_000, 8_000],
  'sink-error': [1_000, 8_000],
  'sink-hang': [1_000, 8_000],
  'sink-cut': [500, 6_000],
  'sink-flaky': [2_000, 10_000],
  'sink-refuse': [1_000, 4_000],
  'disk-full': [1_000, 8_000],
  'stream-cut': [0, 0],
  'nomad-away': [500, 6_000],
  'nomad-stall': [500, 6_000],
  'nomad-error': [500, 4_000],
  evict: [1_500, 4_000],
};

/**
 * The services have settled, and RabbitMQ has its queues for longer than a second (docs/operations.md says why that
 * counts).
 */
const firstAtMs = 5_000;
const longestPauseMs = 5_000;
/** Shorter runs have no room for every kind. */
export const shortestMs = 30_000;

export function planFaults({ seed, durationMs, targets }: PlanRequest): readonly PlannedFault[] {
  const random = createRandom(seed);
  const kinds = faultKinds.filter((kind) => targetsOf(kind, targets).length > 0);
  const nextKind = createDeck(kinds, random);
  const nextTarget = new Map(kinds.map((kind) => [kind, createDeck(targetsOf(kind, targets), random)]));
  // n.b. 0.9: rounds end before the time does, however the pauses fall.
  const pauseMs = Math.min(longestPauseMs, (0.9 * (durationMs - firstAtMs)) / kinds.length);
  const freeAtMs = new Map<string, number>();
  const plan: PlannedFault[] = [];
  for (let ms = firstAtMs; ms < durationMs; ms += pauseMs * (0.1 + 0.9 * random())) {
    const kind = nextKind();
    const target = nextTarget.get(kind)?.() ?? kind;
    const [least, most] = lasting[kind];
    // n.b. in a short run faults are short, too: those that wait for one another still begin before the end.
    const longestMs =
      (durationMs - firstAtMs) / (4 * kinds.filter((other) => targetsOf(other, targets).includes(target)).length);
    const forMs = Math.round(Math.min(least + (most - least) * random() ** 2, longestMs));
    const atMs = Math.round(Math.max(ms, freeAtMs.get(target) ?? 0));
    plan.push({ atMs, kind, target, forMs, form: random() });
    freeAtMs.set(target, atMs + forMs);
  }
  return plan.filter(({ atMs }) => atMs < durationMs).sort((left, right) => left.atMs - right.atMs);
}

function targetsOf(kind: FaultKind, { processes, servers, links, hasDisk }: FaultTargets): readonly string[] {
  switch (kind) {
    case 'kill':
    case 'freeze':
      return processes;
    case 'server-restart':
    case 'server-kill':
    case 'server-freeze':
      return servers;
    case 'black-hole':
    case 'slow-link':
      return links.map((link) => `link to ${link}`);
    case 'disk-full':
      return hasDisk ? ['disk'] : [];
    case 'stream-cut':
    case 'nomad-away':
    case 'nomad-stall':
    case 'nomad-error':
    case 'evict':
      return ['Nomad'];
    default:
      return ['destination'];
  }
}

/** Deals all cards in a random order, then all of them again in another one. */
function createDeck<Card>(cards: readonly Card[], random: () => number): () => Card {
  let left: Card[] = [];
  return () => {
    if (left.length === 0) left = shuffle(cards, random);
    const card = left.pop();
    if (card === undefined) throw new Error('Expected a deck with at least one card, got none');
    return card;
  };
}

function shuffle<Card>(cards: readonly Card[], random: () => number): Card[] {
  return cards
    .map((card) => ({ card, place: random() }))
    .sort((left, right) => left.place - right.place)
    .map(({ card }) => card);
}
