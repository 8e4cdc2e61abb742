/**
 * Notices that a queue gets each crash twice: in Nomad's events and in nomad-firehose's messages, whose crashes count
 * in loops of their own, so that each loop is announced twice. Costs nothing until crashes of both kinds have come.
 */
import type { Observation } from '../ledger/ledger.ts';

/** So many newest crashes of each kind are compared. */
const remembered = 1_000;

type Kind = 'event' | 'nomad-firehose';

export class ToldTwice {
  readonly #crashes = new Map<Kind, Set<string>>();
  #isTold = false;

  /** True once: when it is certain. */
  isNews(messageType: string, observations: readonly Observation[]): boolean {
    if (this.#isTold) return false;
    const kind: Kind = messageType.startsWith('nomad.') ? 'event' : 'nomad-firehose';
    const own = this.#crashesOf(kind);
    const others = this.#crashes.get(kind === 'event' ? 'nomad-firehose' : 'event');
    if (others === undefined) return false;
    for (const crash of observations.flatMap(crashesIn)) {
      if (others.has(crash)) this.#isTold = true;
      remember(own, crash);
    }
    return this.#isTold;
  }

  #crashesOf(kind: Kind): Set<string> {
    const known = this.#crashes.get(kind) ?? new Set<string>();
    this.#crashes.set(kind, known);
    return known;
  }
}

function remember(crashes: Set<string>, crash: string): void {
  crashes.add(crash);
  const [oldest] = crashes;
  if (crashes.size > remembered && oldest !== undefined) crashes.delete(oldest);
}

function crashesIn({ allocation, task, restarts, timed }: Observation): readonly string[] {
  // nomad-firehose does not know its cluster.
  const id = allocation.slice(allocation.lastIndexOf('/') + 1);
  return [...restarts, ...timed].map(({ timeUs }) => `${id}/${task}@${String(timeUs)}`);
}
