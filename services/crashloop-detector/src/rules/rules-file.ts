/**
 * Reads the file that DETECTOR_RULES_FILE names: a list of [[rule]] tables in TOML (or `rule` in JSON). Keys are names
 * of settings, in any case. docs/rules.md describes it.
 */
import { describeError, toError } from '@hydrant/shared/foundation/errors';
import { readTableFile } from '@hydrant/shared/runtime/config/config-file';
import { bool, duration, integer } from '@hydrant/shared/runtime/config/formats';
import { configError, loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { findNearestName } from '@hydrant/shared/runtime/config/nearest-name';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { Rule } from '../ledger/ledger.ts';
import { globs, positiveDuration } from './formats.ts';
import { compileGlob } from './glob.ts';
import type { RuleOverride, TaskPlace } from './choose-rule.ts';

const setting = 'DETECTOR_RULES_FILE';

const schema = {
  NAMESPACE: { doc: 'Namespaces that the rule is for.', format: globs, default: null },
  JOB: { doc: 'Jobs that the rule is for.', format: globs, default: null },
  GROUP: { doc: 'Task groups that the rule is for.', format: globs, default: null },
  TASK: { doc: 'Tasks that the rule is for.', format: globs, default: null },
  MUTE: { doc: 'Whether crashes are neither recorded nor announced.', format: bool, default: false },
  RESTART_COUNT: { doc: 'As the setting.', format: integer({ min: 1 }), default: null },
  RESTART_INTERVAL: { doc: 'As the setting.', format: positiveDuration, default: null },
  NOTIFICATION_INTERVAL: { doc: 'As the setting.', format: duration, default: null },
} as const satisfies Schema;

type RuleValues = Values<typeof schema>;

/** Keys of the file's place by keys of a task's. */
const selectors = { namespace: 'NAMESPACE', job: 'JOB', group: 'GROUP', task: 'TASK' } as const satisfies Readonly<
  Record<keyof TaskPlace, keyof RuleValues>
>;

/**
 * In the order of the file; thresholds that a rule does not name are those of `rule`. Throws `config-invalid` with a
 * line for each problem.
 */
export function readRulesFile(file: string, rule: Rule): readonly RuleOverride[] {
  const problems: string[] = [];
  const tables = findTables(file, problems);
  const values = tables.map((table, at) => readRule(table, { file, at }, problems));
  const unbounded = values.findIndex(
    (found) => found !== undefined && Object.values(selectors).every((name) => found[name] === null),
  );
  if (unbounded !== -1 && unbounded < values.length - 1) {
    problems.push(
      `Expected rule ${unbounded + 1} of ${file}, which names no NAMESPACE, JOB, GROUP or TASK, to be the last: no rule after it would be reached`,
    );
  }
  if (problems.length > 0) throw configError(problems);
  return values.flatMap((found) => (found === undefined ? [] : [makeOverride(found, rule)]));
}

function findTables(file: string, problems: string[]): readonly unknown[] {
  let content: Readonly<Record<string, unknown>>;
  try {
    content = readTableFile(file, setting);
  } catch (error) {
    throw configError([toError(error).message]);
  }
  const { rule: tables, ...others } = content;
  for (const key of Object.keys(others))
    problems.push(
      `Expected only [[rule]] in ${file}, got \`${key}\`${findNearestName(key, ['rule']) === undefined ? '' : '; did you mean `rule`?'}`,
    );
  if (tables === undefined || Array.isArray(tables)) return tables ?? [];
  problems.push(
    `Expected \`rule\` in ${file} to be a list of tables, each under [[rule]], got ${isTable(tables) ? 'a table' : JSON.stringify(tables)}`,
  );
  return [];
}

function readRule(
  table: unknown,
  { file, at }: { readonly file: string; readonly at: number },
  problems: string[],
): RuleValues | undefined {
  const origin = `rule ${at + 1} of ${file}`;
  if (!isTable(table)) {
    problems.push(`Expected ${origin} to be a table, got ${JSON.stringify(table)}`);
    return undefined;
  }
  try {
    return loadConfig(schema, {
      env: {},
      table: { values: table, origin },
      check: (values) => contradictions(values as RuleValues, origin),
    });
  } catch (error) {
    problems.push(describeError(error));
    return undefined;
  }
}

function contradictions(
  { MUTE, RESTART_COUNT, RESTART_INTERVAL, NOTIFICATION_INTERVAL }: RuleValues,
  origin: string,
): readonly string[] {
  const hasThresholds = RESTART_COUNT !== null || RESTART_INTERVAL !== null || NOTIFICATION_INTERVAL !== null;
  return MUTE && hasThresholds
    ? [`Expected \`MUTE\` alone or thresholds, got both: a muted task is never announced (${origin})`]
    : [];
}

function makeOverride(values: RuleValues, rule: Rule): RuleOverride {
  const tests = (Object.keys(selectors) as (keyof TaskPlace)[]).flatMap((part) => {
    const patterns = values[selectors[part]]?.map(compileGlob);
    return patterns === undefined ? [] : [(place: TaskPlace) => patterns.some((matches) => matches(place[part]))];
  });
  return {
    matches: (place) => tests.every((test) => test(place)),
    isMuted: values.MUTE,
    rule: {
      count: values.RESTART_COUNT ?? rule.count,
      intervalMs: values.RESTART_INTERVAL ?? rule.intervalMs,
      notificationIntervalMs: values.NOTIFICATION_INTERVAL ?? rule.notificationIntervalMs,
    },
  };
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
