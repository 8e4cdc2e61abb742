/** Which rule holds for a task: the first override that matches, else the one for all. Pure. */
import type { Rule } from '../ledger/ledger.ts';

/** Where a task is, in Nomad's names. */
export interface TaskPlace {
  readonly namespace: string;
  readonly job: string;
  readonly group: string;
  readonly task: string;
}

/** A rule of its own for the tasks that it matches. */
export interface RuleOverride {
  matches(place: TaskPlace): boolean;
  readonly isMuted: boolean;
  /** Whole: what the override does not say is that of the rule for all. */
  readonly rule: Rule;
}

export interface Rules {
  /** For every task that no override matches. */
  readonly rule: Rule;
  readonly overrides: readonly RuleOverride[];
}

export interface ChosenRule {
  readonly rule: Rule;
  /** Its crashes are neither recorded nor announced. */
  readonly isMuted: boolean;
  /** Which override it is, from 1; null: the rule for all. */
  readonly position: number | null;
}

export function chooseRule({ rule, overrides }: Rules, place: TaskPlace): ChosenRule {
  const at = overrides.findIndex((override) => override.matches(place));
  const override = overrides[at];
  return override === undefined
    ? { rule, isMuted: false, position: null }
    : { rule: override.rule, isMuted: override.isMuted, position: at + 1 };
}
