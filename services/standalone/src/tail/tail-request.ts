/** What the command line of `hydrant tail` asks for. */
import { parseArgs } from 'node:util';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { topics as topicFormat } from '@hydrant/shared/runtime/config/topic-formats';

export interface TailRequest {
  /** Undefined: those of FIREHOSE_TOPICS. */
  readonly topics: readonly string[] | undefined;
  /** Patterns of job ids, in which `*` stands for anything; none: every event. */
  readonly jobs: readonly string[];
  /** Undefined: that of FIREHOSE_NAMESPACE. */
  readonly namespace: string | undefined;
  readonly isJson: boolean;
  /** With what Nomad still has. */
  readonly withOldest: boolean;
}

export const tailHelp = `Reads NOMAD_ADDR and NOMAD_TOKEN; keeps nothing; Ctrl-C ends it.

  --topic TOPIC        such as Allocation or Job; repeat it or separate with commas. Default: FIREHOSE_TOPICS
  --job PATTERN        only events of this job; * stands for anything; may be repeated
  --namespace NAME     only this namespace. Default: FIREHOSE_NAMESPACE
  --oldest             begin with what Nomad still has
  --json               the events as Nomad wrote them, one a line; what a terminal would obey is an escape
`;

const options = {
  topic: { type: 'string', multiple: true },
  job: { type: 'string', multiple: true },
  namespace: { type: 'string' },
  json: { type: 'boolean' },
  oldest: { type: 'boolean' },
} as const;

function words(values: readonly string[]): readonly string[] {
  return [
    ...new Set(
      values
        .flatMap((value) => value.split(','))
        .map((word) => word.trim())
        .filter((word) => word !== ''),
    ),
  ];
}

/** Throws a HydrantError `arguments-invalid`. */
export function readTailRequest(args: readonly string[]): TailRequest {
  const { topic, job, namespace, json, oldest } = parse(args);
  const topics = topic === undefined ? undefined : words(topic);
  if (topics !== undefined && topicFormat.parse(topics) === undefined)
    throw invalid(
      `Expected --topic to be a topic such as Allocation, got "${topics.join(',')}"; ${topicFormat.hint?.(topics) ?? 'name one'}`,
    );
  return { topics, jobs: words(job ?? []), namespace, isJson: json === true, withOldest: oldest === true };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ options, args: [...args] }).values;
  } catch (thrown) {
    throw invalid(toError(thrown).message);
  }
}

function invalid(message: string): HydrantError {
  return new HydrantError(`${message}; \`hydrant tail --help\` tells what there is`, {
    code: 'arguments-invalid',
    retryable: false,
  });
}
