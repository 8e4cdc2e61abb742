/**
 * Says of events what the detector would count, and why, and which crash loops it would announce. Runs the detector's
 * own rule on a store in memory; connects to nothing. By the times of the events, so that a recording of last week is
 * judged as it would have been then.
 */
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { describeError } from '@hydrant/shared/foundation/errors';
import { makeVisible } from '@hydrant/shared/foundation/visible-text';
import { makeNextStep } from '@hydrant/shared/messages/next-step';
import type { CrashDetail, UntimedDetail } from '../crashes/extract-crashes.ts';
import type { GroupBy } from '../crashes/lineage.ts';
import { createMemoryStateStore } from '@hydrant/shared/state/memory-state-store';
import { createLedger, stateLimits } from '../ledger/state-ledger.ts';
import {
  defaultMaxLineages,
  type Decision,
  type Ledger,
  type Observation,
  type ObservedCrash,
  type Rule,
  type Verdict,
} from '../ledger/ledger.ts';
import { readObservations } from '../read-observations.ts';
import { chooseRule, type Rules } from '../rules/choose-rule.ts';
import { DocumentSplitter, type FoundDocument } from './document-splitter.ts';
import { splitDocument } from './split-document.ts';

export interface ExplainerOptions {
  readonly rules: Rules;
  readonly groupBy: GroupBy;
}

/** Of the lines that cannot be used, so many are named. */
const mostRefusalsNamed = 20;

interface Sighted extends ObservedCrash {
  /** `#7`, `failed`, or nothing where there is no number. */
  readonly label: string;
  /** Of the ledger. */
  readonly verdict: Verdict | undefined;
}

export class Explainer {
  readonly #options: ExplainerOptions;
  readonly #splitter = new DocumentSplitter();
  readonly #ledger: Ledger;
  /** The time of the events, milliseconds. */
  #nowMs = 0;
  /** Restarts and failures that have been explained. */
  readonly #known = new Set<string>();
  readonly #loops = new Map<string, string>();
  readonly #refusals: string[] = [];
  readonly #counts = { crash: 0, 'no-crash': 0, foreign: 0, refused: 0, counted: 0, hidden: 0, uncounted: 0 };

  constructor(options: ExplainerOptions) {
    this.#options = options;
    const clock = { now: () => this.#nowMs };
    this.#ledger = createLedger({
      store: createMemoryStateStore({ limits: stateLimits(defaultMaxLineages), clock }),
      clock,
    });
  }

  /**
   * What the next line of the input brings: one line of text for each restart or failure that is seen for the first
   * time. Never rejects.
   */
  async take(line: Buffer): Promise<readonly string[]> {
    const said: string[] = [];
    for (const document of this.#splitter.take(line))
      for (const sentence of await this.#takeDocument(document)) said.push(sentence);
    return said;
  }

  /** What the end of the input brings. */
  async end(): Promise<readonly string[]> {
    const said: string[] = [];
    for (const document of this.#splitter.end())
      for (const sentence of await this.#takeDocument(document)) said.push(sentence);
    return said;
  }

  /** All in all. */
  summary(): readonly string[] {
    const { crash, foreign, refused, counted, hidden, uncounted } = this.#counts;
    const { rule } = this.#options.rules;
    return [
      '',
      `Events: ${crash + this.#counts['no-crash']} of allocations, ${crash} of them tell of restarts or failures; ${foreign} of other topics, ignored.`,
      `Crashes: ${counted + hidden} counted${hidden === 0 ? '' : `, ${hidden} of them no longer shown by Nomad`}; ${uncounted} restarts or failures not counted.`,
      `Rule: ${rule.count} crashes within ${formatDuration(rule.intervalMs)}${this.#options.rules.overrides.length === 0 ? '' : `, and ${this.#options.rules.overrides.length} of their own for some tasks`}.`,
      `Crash loops that would be announced: ${this.#loops.size === 0 ? 'none' : this.#loops.size}`,
      ...[...this.#loops.values()].map((loop) => `  ${loop}`),
      ...(this.#refusals.length === 0
        ? []
        : [`Lines that cannot be used: ${refused}`, ...this.#refusals.map((refusal) => `  ${refusal}`)]),
    ];
  }

  async #takeDocument({ bytes, line }: FoundDocument): Promise<readonly string[]> {
    const said: string[] = [];
    try {
      for (const message of splitDocument(bytes, `line ${line}`)) {
        const input = readObservations(message, this.#options.groupBy);
        this.#counts[input.kind] += 1;
        if (input.kind === 'foreign') continue;
        for (const odd of input.odd) this.#refuse(line, odd);
        for (const observation of input.observations)
          for (const sentence of await this.#explain(observation)) said.push(sentence);
      }
    } catch (error) {
      this.#counts.refused += 1;
      this.#refuse(line, error);
    }
    return said;
  }

  #refuse(line: number, error: unknown): void {
    if (this.#refusals.length < mostRefusalsNamed)
      this.#refusals.push(`line ${line}: ${makeVisible(describeError(error))}`);
  }

  async #explain(observation: Observation): Promise<readonly string[]> {
    const { rule, isMuted, position } = chooseRule(this.#options.rules, observation.place);
    if (isMuted) {
      const news = this.#news(observation, []);
      this.#counts.uncounted += news.length;
      return news.map((sighted) => describe(observation, sighted, `not counted: muted by rule ${position ?? 0}`));
    }
    this.#nowMs = Math.max(this.#nowMs, observation.modifiedAtUs / 1000);
    const decision = await this.#ledger.record(observation, rule);
    this.#counts.counted += decision.recorded.restarts + decision.recorded.failures;
    this.#counts.hidden += decision.recorded.hidden;
    return [
      ...this.#news(observation, decision.verdicts).map((sighted) =>
        describe(observation, sighted, this.#describeVerdict(sighted, rule)),
      ),
      ...(decision.recorded.hidden === 0
        ? []
        : [
            `${' '.repeat(26)}${showPlace(observation)}  ${decision.recorded.hidden} more counted, which Nomad no longer shows`,
          ]),
      ...(await this.#announce(observation, decision, rule)),
    ];
  }

  /** What is seen for the first time. */
  #news(observation: Observation, verdicts: readonly Verdict[]): readonly Sighted[] {
    return sightings(observation, verdicts).filter(({ label, timeNs }) => {
      const key = `${observation.allocation}/${observation.task}${label}@${timeNs}`;
      const isNew = !this.#known.has(key);
      this.#known.add(key);
      return isNew;
    });
  }

  #describeVerdict({ verdict, detail }: Sighted, rule: Rule): string {
    if (verdict === 'counted') return `counted: ${describeCrash(detail)}`;
    this.#counts.uncounted += 1;
    if (verdict === 'requested') return 'not counted: asked for by a person, a template or a new identity';
    if (verdict === 'old') return `not counted: ${formatDuration(rule.intervalMs)} or more before the newest crash`;
    return 'not counted: known already';
  }

  async #announce(observation: Observation, decision: Decision, rule: Rule): Promise<readonly string[]> {
    if (decision.action === 'late')
      return [`${' '.repeat(26)}${showPlace(observation)}  a crash loop, but known too late to be announced`];
    if (decision.action !== 'announce') return [];
    await this.#ledger.confirm(decision.claim);
    const newest = decision.crashes.at(-1);
    const next =
      newest === undefined
        ? ''
        : `; next: ${makeNextStep(observation.place.namespace, JSON.parse(newest) as CrashDetail)}`;
    const text = `${showPlace(observation)}: ${decision.count} crashes within ${formatDuration(rule.intervalMs)}${next}`;
    const { alertId, openedAtUs } = decision.claim;
    this.#loops.set(
      alertId,
      `${showPlace(observation)}: opened ${showTime(openedAtUs)}, last announced ${showTime(decision.claim.announcedAtUs)} with ${decision.count} crashes`,
    );
    return [`${showTime(decision.claim.announcedAtUs)}  CRASH LOOP ${decision.status}  ${text}`];
  }
}

/** Oldest first. */
function sightings({ restarts, timed }: Observation, verdicts: readonly Verdict[]): readonly Sighted[] {
  const labels = [
    ...restarts.map(({ number }) => `#${number}`),
    ...timed.map(({ isFailure }) => (isFailure ? ' failed' : '')),
  ];
  return [...restarts, ...timed].map((crash, at) => ({ ...crash, label: labels[at] ?? '', verdict: verdicts[at] }));
}

function describe(observation: Observation, { label, timeUs, detail }: Sighted, verdict: string): string {
  const { allocation } = JSON.parse(detail) as UntimedDetail;
  return `${showTime(timeUs)}  ${showPlace(observation)}  ${makeVisible(allocation.slice(0, 8))}${label}  ${verdict}`;
}

function describeCrash(detail: string): string {
  const { reason, cause, exitCode, signal, oomKilled } = JSON.parse(detail) as UntimedDetail;
  const facts = [
    ...(cause === undefined ? [] : [cause]),
    ...(oomKilled === true ? ['out of memory'] : []),
    ...(exitCode === undefined ? [] : [`exit ${exitCode}`]),
    ...(signal === undefined ? [] : [`signal ${signal}`]),
  ];
  return makeVisible(`${reason}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`);
}

function showPlace({ place: { namespace, job, group, task } }: Observation): string {
  return makeVisible(`${namespace === 'default' ? '' : `${namespace}:`}${job}/${group}/${task}`);
}

function showTime(us: number): string {
  return new Date(us / 1000).toISOString();
}
