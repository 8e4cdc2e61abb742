/**
 * nomad-firehose's message of a restart as it nearly always is: its members as Go lays them out, and plain ASCII in the
 * texts that alerts pass on. One expression takes that apart for a fraction of the time and the garbage that looking up
 * each member costs. What differs in anything is read by RawObject, to the same end.
 */
import { taskEventFields, type Zero } from './last-event.ts';

export interface FirehoseTask {
  readonly allocation: string;
  readonly name: string;
  readonly task: string;
  readonly node: string;
  readonly job: string;
  readonly group: string;
}

/** What nomad-firehose's message tells of a crash. */
export interface FirehoseCrash extends FirehoseTask {
  /** The end of the task in this allocation, not one of its restarts. */
  readonly isFailure: boolean;
  readonly reason: string;
  /** Nanoseconds since 1970 in decimal. */
  readonly at: string;
  /** As alerts show it, in JSON. */
  readonly lastEvent: string;
}

/** A longer one costs much anyway, and an expression needs memory for each sign that it may have to go back to. */
const mostBytes = 16_384;

/** Neither JSON nor Go writes these in another way, and they have one byte in UTF-8. */
const plain = String.raw`[^"\\<>&\x00-\x1f\x80-\xff]`;
const anyText = String.raw`"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*"`;
const kinds: Readonly<Record<Zero, string>> = {
  '""': `"${plain}*"`,
  '0': '-?(?:0|[1-9][0-9]*)',
  false: '(?:true|false)',
};
const text = `"(${plain}*)"`;
const requiredText = `"(${plain}+)"`;

/**
 * The members that are passed on are captured as a whole too; an empty `TaskStartedAt` would be passed on as another.
 */
const usual = new RegExp(
  [
    `^\\{("Name":${requiredText}),"NodeID":${text},`,
    `("AllocationID":${requiredText},${members(['DesiredStatus', 'DesiredDescription', 'ClientStatus', 'ClientDescription'])},"JobID":${text},"GroupName":${text},`,
    `"TaskName":${requiredText},${members(['EvalID', 'TaskState'])},"TaskFailed":${kinds.false},"TaskStartedAt":"${plain}+","TaskFinishedAt":"${plain}+"),`,
    '"TaskEvent":\\{("Type":"((?:Not )?Restarting)","Time":(0|[1-8][0-9]{0,18})),',
    `"DisplayMessage":${anyText},"Details":(?:null|\\{(?:${anyText}:${anyText}(?:,${anyText}:${anyText})*)?\\}),`,
    `(${taskEventFields
      .slice(2)
      .map(([key, zero]) => `"${key}":${key === 'RestartReason' ? requiredText : kinds[zero]}`)
      .join(',')}),"GenericSource":${kinds['""']}\\}\\}$`,
  ].join(''),
  'u',
);

/**
 * The restart with a reason, or the restart that is not to be, that the message tells of; undefined when it is to be
 * read with more care.
 */
export function readUsualRestart(body: Buffer): FirehoseCrash | undefined {
  if (body.length > mostBytes) return undefined;
  const found = usual.exec(body.toString('latin1'));
  if (found === null) return undefined;
  const [
    ,
    first = '',
    name = '',
    node = '',
    rest = '',
    allocation = '',
    job = '',
    group = '',
    task = '',
    kind = '',
    type = '',
    at = '',
    event = '',
    reason = '',
  ] = found;
  return {
    isFailure: type !== 'Restarting',
    reason,
    at,
    allocation,
    name,
    task,
    node,
    job,
    group,
    lastEvent: `{${first},${rest},"TaskEvent":{${kind},${event}}}`,
  };
}

function members(keys: readonly string[]): string {
  return keys.map((key) => `"${key}":${kinds['""']}`).join(',');
}
