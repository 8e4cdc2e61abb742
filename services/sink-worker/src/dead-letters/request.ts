/** What `dead-letters` was asked to do: its arguments, read and checked. Pure. */
import { parseArgs } from 'node:util';
import { compileTopicPattern } from '@hydrant/shared/bus/topic-pattern';
import type { DeadLetter } from '@hydrant/shared/bus/dead-letters';
import { parseDuration } from '@hydrant/shared/foundation/durations';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';

export type DeadLetterAction = 'list' | 'replay' | 'drop';

export interface DeadLetterRequest {
  readonly action: DeadLetterAction;
  /** Null: as the settings have it. */
  readonly queue: string | null;
  readonly matches: (letter: DeadLetter) => boolean;
  /** Most letters that are listed, replayed or dropped. */
  readonly limit: number;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}

const options = {
  id: { type: 'string', multiple: true },
  error: { type: 'string' },
  topic: { type: 'string' },
  'routing-key': { type: 'string' },
  since: { type: 'string' },
  limit: { type: 'string' },
  queue: { type: 'string' },
  all: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

type Given = ReturnType<typeof parseOptions>['values'];
type Test = (letter: DeadLetter) => boolean;

export const deadLettersUsage = [
  'Usage: dead-letters list|replay|drop [options]',
  '  --id ID              only the one of this id; may stand several times',
  '  --error TEXT         only those whose reason holds the text, or matches it when it is written /as a regular expression/',
  '  --topic NAME         only events of this topic, such as Allocation',
  '  --routing-key KEY    only those whose routing key fits; `*` stands for one word, `#` for any number',
  '  --since WHEN         only those that failed since then: a duration back from now (1h30m), or a time (2026-05-06T07:08:09Z)',
  '  --limit N            no more than so many, the oldest first; list shows 100 where it is not set',
  '  --queue NAME         the queue that they come from; where it is not set, that of the sink that the settings name',
  '  --all                drop: all of them, without a filter',
  '  --dry-run            replay, drop: says what would be done and does nothing',
  '  --json               a JSON object a line, with the body',
].join('\n');

const defaultListLimit = 100;

/** `nowMs`: wall clock. Throws `arguments-invalid`. */
export function readDeadLetterRequest(args: readonly string[], nowMs: number): DeadLetterRequest {
  const { values, positionals } = parseOptions(args);
  const [action, ...others] = positionals;
  if ((action !== 'list' && action !== 'replay' && action !== 'drop') || others.length > 0)
    throw invalid(`Expected \`list\`, \`replay\` or \`drop\`, got "${positionals.join(' ')}"`);
  const tests = readTests(values, nowMs);
  if (values.all === true && tests.length > 0) throw invalid('Expected either `--all` or a filter, got both');
  if (action === 'drop' && tests.length === 0 && values.all !== true)
    throw invalid('Expected a filter such as `--id` or `--error`, or `--all`, to say what is dropped; got neither');
  return {
    action,
    queue: values.queue ?? null,
    matches: (letter) => tests.every((test) => test(letter)),
    limit: readLimit(values.limit) ?? (action === 'list' ? defaultListLimit : Infinity),
    isDryRun: values['dry-run'] === true,
    isJson: values.json === true,
  };
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({ options, args: [...args], allowPositionals: true });
  } catch (error) {
    throw invalid(toError(error).message);
  }
}

function readTests(given: Given, nowMs: number): readonly Test[] {
  const tests: Test[] = [];
  const { id: ids, error, topic, 'routing-key': routingKey, since } = given;
  if (ids !== undefined) tests.push(({ message }) => ids.includes(message.id));
  if (error !== undefined) tests.push(readErrorTest(error));
  if (topic !== undefined)
    tests.push(({ message }) => message.type.split('.')[1] === topic || message.routingKey.split('.')[1] === topic);
  if (routingKey !== undefined) {
    const matchesKey = compileTopicPattern(routingKey);
    tests.push(({ message }) => matchesKey(message.routingKey));
  }
  if (since !== undefined) {
    const sinceMs = readSince(since, nowMs);
    tests.push(({ failedAt }) => Date.parse(failedAt) >= sinceMs);
  }
  return tests;
}

function readErrorTest(text: string): Test {
  const [, source, flags] = /^\/(.+)\/([imsu]*)$/su.exec(text) ?? [];
  if (source === undefined) return ({ error }) => error.includes(text);
  try {
    const pattern = new RegExp(source, flags);
    return ({ error }) => pattern.test(error);
  } catch (cause) {
    throw invalid(
      `Expected \`--error\` to be text or a regular expression between slashes, got "${text}": ${toError(cause).message}`,
    );
  }
}

function readSince(text: string, nowMs: number): number {
  const agoMs = parseDuration(text);
  const sinceMs = agoMs === undefined ? Date.parse(text) : nowMs - agoMs;
  if (Number.isNaN(sinceMs))
    throw invalid(
      `Expected \`--since\` to be a duration such as "1h30m" or a time such as "2026-05-06T07:08:09Z", got "${text}"`,
    );
  return sinceMs;
}

function readLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/u.test(text))
    throw invalid(`Expected \`--limit\` to be a whole number of at least 1, got "${text}"`);
  return Number(text);
}

function invalid(message: string): HydrantError {
  return new HydrantError(`${message}\n\n${deadLettersUsage}`, { code: 'arguments-invalid', retryable: false });
}
