/**
 * Says of events what the detector would count, and why, and which crash loops it would announce. Keeps a ledger of its own in memory; connects to
 * nothing. By the times of the events, so that a recording of last week is judged as it would have been then.
 */
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { describeError } from '@hydrant/shared/foundation/errors';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { GroupBy } from '../crashes/lineage.ts';
import { decide } from '../ledger/in-memory/decide.ts';
import { defaultMaxLineages, type Decision, type Observation, type ObservedCrash, type Rule } from '../ledger/ledger.ts';
import { emptyLedger } from '../ledger/in-memory/ledger-state.ts';
import { confirmClaim } from '../ledger/in-memory/resolve.ts';
import { readObservations } from '../read-observations.ts';
import { makeNextStep } from '../page/next-step.ts';
import { makeVisible } from '../page/visible-text.ts';
import { chooseRule, type Rules } from '../rules/choose-rule.ts';
import { splitLine } from './split-line.ts';

export interface ExplainerOptions {
  readonly rules: Rules;
  readonly groupBy: GroupBy;
}

/** Of the lines that cannot be used, so many are named. */
const mostRefusalsNamed = 20;

interface Sighted extends ObservedCrash {
  /** `#7`, `failed`, or nothing where there is no number. */
  readonly label: string;
  readonly isRequested: boolean;
}

export class Explainer {
  readonly #options: ExplainerOptions;
  readonly #ledger = emptyLedger(defaultMaxLineages);
  /** Restarts and failures that have been explained. */
  readonly #known = new Set<string>();
  /** Time of the newest crash by what is counted together. */
  readonly #newestUs = new Map<string, number>();
  readonly #loops = new Map<string, string>();
  readonly #refusals: string[] = [];
  readonly #counts = { lines: 0, crash: 0, 'no-crash': 0, foreign: 0, refused: 0, counted: 0, hidden: 0, uncounted: 0 };

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** What the next line of the input brings: one line of text for each restart or failure that is seen for the first time. Never throws. */
  take(line: Buffer): readonly string[] {
    this.#counts.lines += 1;
    if (line.toString('latin1').trim() === '') return [];
    const name = `line ${this.#counts.lines}`;
    try {
      return splitLine(line, name).flatMap((message) => {
        const input = readObservations(message, this.#options.groupBy);
        this.#counts[input.kind] += 1;
        return input.kind === 'crash' ? input.observations.flatMap((observation) => this.#explain(observation)) : [];
      });
    } catch (error) {
      this.#counts.refused += 1;
      if (this.#refusals.length < mostRefusalsNamed) this.#refusals.push(`${name}: ${makeVisible(describeError(error))}`);
      return [];
    }
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
      ...(refused === 0 ? [] : [`Lines that cannot be used: ${refused}`, ...this.#refusals.map((refusal) => `  ${refusal}`)]),
    ];
  }

  #explain(observation: Observation): readonly string[] {
    const { rule, isMuted, position } = chooseRule(this.#options.rules, observation.place);
    const news = sightings(observation).filter(({ label, timeUs }) => this.#isNew(`${observation.allocation}/${observation.task}${label}@${timeUs}`));
    if (isMuted) {
      this.#counts.uncounted += news.length;
      return news.map((sighted) => describe(observation, sighted, `not counted: muted by rule ${position ?? 0}`));
    }
    const crashTimes = sightings(observation).filter(({ isRequested }) => !isRequested).map(({ timeUs }) => timeUs);
    const newestUs = Math.max(this.#newestUs.get(observation.group) ?? 0, ...crashTimes);
    this.#newestUs.set(observation.group, newestUs);
    const { decision } = decide(this.#ledger, observation, rule, observation.modifiedAtUs);
    this.#counts.counted += decision.recorded.restarts + decision.recorded.failures;
    this.#counts.hidden += decision.recorded.hidden;
    return [
      ...news.map((sighted) => describe(observation, sighted, this.#verdict(sighted, newestUs, rule))),
      ...(decision.recorded.hidden === 0 ? [] : [`${' '.repeat(26)}${showPlace(observation)}  ${decision.recorded.hidden} more counted, which Nomad no longer shows`]),
      ...this.#announce(observation, decision, rule),
    ];
  }

  #isNew(key: string): boolean {
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    return true;
  }

  #verdict({ isRequested, timeUs, detail }: Sighted, newestUs: number, rule: Rule): string {
    if (isRequested) {
      this.#counts.uncounted += 1;
      return 'not counted: asked for by a person, a template or a new identity';
    }
    if (newestUs - timeUs >= rule.intervalMs * 1000) {
      this.#counts.uncounted += 1;
      return `not counted: ${formatDuration(rule.intervalMs)} or more before the newest crash`;
    }
    return `counted: ${describeCrash(detail)}`;
  }

  #announce(observation: Observation, decision: Decision, rule: Rule): readonly string[] {
    if (decision.action === 'late') return [`${' '.repeat(26)}${showPlace(observation)}  a crash loop, but known too late to be announced`];
    if (decision.action !== 'announce') return [];
    confirmClaim(this.#ledger, decision.claim);
    const newest = decision.crashes.at(-1);
    const next = newest === undefined ? '' : `; next: ${makeNextStep(observation.place.namespace, JSON.parse(newest) as CrashDetail)}`;
    const text = `${showPlace(observation)}: ${decision.count} crashes within ${formatDuration(rule.intervalMs)}${next}`;
    const { alertId, openedAtUs } = decision.claim;
    this.#loops.set(alertId, `${showPlace(observation)}: opened ${showTime(openedAtUs)}, last announced ${showTime(decision.claim.announcedAtUs)} with ${decision.count} crashes`);
    return [`${showTime(decision.claim.announcedAtUs)}  CRASH LOOP ${decision.status}  ${text}`];
  }
}

/** Oldest first. */
function sightings({ restarts, timed, failure }: Observation): readonly Sighted[] {
  return [
    ...restarts.map(({ number, kind, timeUs, detail }) => ({ label: `#${number}`, isRequested: kind === 'requested', timeUs, detail })),
    ...timed.map(({ timeUs, detail }) => ({ label: '', isRequested: false, timeUs, detail })),
    ...(failure === null ? [] : [{ label: ' failed', isRequested: false, timeUs: failure.timeUs, detail: failure.detail }]),
  ];
}

function describe(observation: Observation, { label, timeUs, detail }: Sighted, verdict: string): string {
  const { allocation } = JSON.parse(detail) as CrashDetail;
  return `${showTime(timeUs)}  ${showPlace(observation)}  ${makeVisible(allocation.slice(0, 8))}${label}  ${verdict}`;
}

function describeCrash(detail: string): string {
  const { reason, cause, exitCode, signal, oomKilled } = JSON.parse(detail) as CrashDetail;
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
