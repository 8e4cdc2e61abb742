/**
 * The sentences about a crash loop. The body is read leniently: nomad-crashloop-detector's alone (`LastEvent`,
 * `EventLog`) will do, and a field that is missing is left out.
 */
import type { Message } from '@hydrant/shared/messages/message';
import { isShowable, makeNextStep } from '@hydrant/shared/messages/next-step';
import type { Description, Fact } from './description.ts';
import { asFields, listOf, numberOf, textOf, type Fields } from './fields.ts';
import { allocationPath } from './ui-path.ts';

const resolvedType = 'crash-loop-resolved';
const mostReasons = 5;
const mostExitCodes = 10;
const shortId = 8;
const uuid = /^[0-9a-f-]+$/iu;

export function isAlert(message: Message, body: Fields): boolean {
  return (
    message.type === 'crash-loop' ||
    message.type === resolvedType ||
    textOf(asFields(body['LastEvent']), 'AllocationID') !== undefined
  );
}

export function describeAlert(message: Message, body: Fields): Description {
  const last = asFields(body['LastEvent']);
  const status = textOf(body, 'Status');
  const kind =
    message.type === resolvedType || status === 'resolved' ? 'resolved' : status === 'ongoing' ? 'ongoing' : 'opened';
  const job = textOf(last, 'JobID');
  const task = textOf(last, 'TaskName');
  const allocation = textOf(last, 'AllocationID');
  const cluster = textOf(body, 'Cluster') ?? String(message.headers['cluster'] ?? 'default');
  const namespace = textOf(body, 'Namespace');
  const often = howOften(body);
  const who = `Task ${task ?? '?'} of job ${job ?? '?'}`;
  const sentences = {
    opened: `${who} is crash-looping: ${often}`,
    ongoing: `${who} is still crash-looping: ${often}`,
    resolved: `${who} has stopped crash-looping`,
  };
  const facts: (Fact | undefined)[] = [
    {
      label: 'Where',
      text: where({ cluster, namespace, name: textOf(last, 'Name'), allocation, node: textOf(last, 'NodeID') }),
    },
    fact('Why', why(body, last)),
    kind === 'resolved' ? undefined : fact('Since', since(body)),
  ];
  return {
    kind,
    sentence: sentences[kind],
    id: textOf(body, 'Id'),
    cluster,
    namespace,
    job,
    task,
    facts: facts.filter((one) => one !== undefined),
    nextStep:
      kind === 'resolved' ? undefined : chooseNextStep(textOf(body, 'NextStep'), namespace ?? 'default', allocation),
    uiPath: allocationPath(allocation, task),
  };
}

/** The alert's own, if it can be shown as it stands. */
function chooseNextStep(
  own: string | undefined,
  namespace: string,
  allocation: string | undefined,
): string | undefined {
  if (own !== undefined && isShowable(own)) return own;
  if (allocation === undefined || !uuid.test(allocation)) return undefined;
  return makeNextStep(namespace, { allocation, task: '' }) || undefined;
}

function fact(label: string, text: string | undefined): Fact | undefined {
  return text === undefined ? undefined : { label, text };
}

function howOften(body: Fields): string {
  const count = numberOf(body, 'Count') ?? listOf(body, 'EventLog').length;
  const interval = textOf(body, 'Interval');
  return `${String(count)} ${count === 1 ? 'crash' : 'crashes'}${interval === undefined ? '' : ` within ${interval}`}`;
}

interface Place {
  readonly cluster: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly allocation: string | undefined;
  readonly node: string | undefined;
}

function where({ cluster, namespace, name, allocation, node }: Place): string {
  const parts = [
    `cluster ${cluster}`,
    ...(namespace === undefined ? [] : [`namespace ${namespace}`]),
    ...(allocation === undefined
      ? []
      : [`allocation ${allocation.slice(0, shortId)}${name === undefined ? '' : ` (${name})`}`]),
    ...(node === undefined ? [] : [`node ${node.slice(0, shortId)}`]),
  ];
  return parts.join(', ');
}

function why(body: Fields, last: Fields): string | undefined {
  const reasons = listOf(body, 'Reasons')
    .filter((reason) => typeof reason === 'string' && reason !== '')
    .slice(0, mostReasons)
    .map(String);
  const codes = listOf(body, 'ExitCodes')
    .filter((code) => typeof code === 'number')
    .slice(0, mostExitCodes);
  const ownReason = textOf(asFields(last['TaskEvent']), 'RestartReason');
  const parts = [
    ...(body['OOMKilled'] === true ? ['out of memory'] : []),
    ...(reasons.length > 0 || ownReason === undefined ? reasons : [ownReason]),
    ...(codes.length === 0 ? [] : [`exit ${codes.length === 1 ? 'code' : 'codes'} ${codes.join(', ')}`]),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function since(body: Fields): string | undefined {
  const first = textOf(body, 'FirstCrash') ?? listOf(body, 'EventLog').find((time) => typeof time === 'string');
  if (first === undefined) return undefined;
  const allocations = listOf(body, 'Lineage').length;
  return `${String(first)}${allocations > 1 ? `, over ${String(allocations)} allocations` : ''}`;
}
