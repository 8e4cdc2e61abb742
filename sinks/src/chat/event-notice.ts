/** A sentence about a Nomad event, or about a message that is none. */
import type { Message } from '@hydrant/shared/messages/message';
import type { Description, Fact } from './description.ts';
import { asFields, listOf, numberOf, textOf, type Fields } from './fields.ts';
import { allocationPath, clientPath, evaluationPath, jobPath } from './ui-path.ts';

const shortId = 8;

export function describeEvent(message: Message, body: Fields): Description {
  const cluster = String(message.headers['cluster'] ?? 'default');
  const topic = textOf(body, 'Topic');
  const type = textOf(body, 'Type');
  const index = numberOf(body, 'Index');
  if (topic === undefined || type === undefined) {
    return {
      kind: 'event',
      sentence: `A message of the type ${message.type === '' ? 'unknown' : message.type} came`,
      cluster,
      facts: [{ label: 'Message', text: message.id }],
    };
  }
  const object = asFields(asFields(body['Payload'])[topic]);
  const namespace = textOf(object, 'Namespace') ?? textOf(body, 'Namespace');
  const job = topic === 'Job' ? textOf(object, 'ID') : textOf(object, 'JobID');
  const status = textOf(object, 'ClientStatus') ?? textOf(object, 'Status');
  const because = whyOf(object);
  const facts: Fact[] = [
    {
      label: 'Where',
      text: [
        `cluster ${cluster}`,
        ...(namespace === undefined ? [] : [`namespace ${namespace}`]),
        ...(job === undefined ? [] : [`job ${job}`]),
      ].join(', '),
    },
    ...(because === undefined ? [] : [{ label: 'Why', text: because }]),
    ...(index === undefined ? [] : [{ label: 'Index', text: String(index) }]),
  ];
  return {
    kind: 'event',
    sentence: `${topic} ${nameOf(topic, object, textOf(body, 'Key'))}: ${words(type)}${status === undefined ? '' : `, ${status}`}`,
    cluster,
    namespace,
    job,
    facts,
    uiPath: pathOf(topic, object, namespace),
  };
}

/** `JobRegistered` becomes `job registered`. */
function words(type: string): string {
  return type.replaceAll(/(?<=[a-z])(?=[A-Z])/gu, ' ').toLowerCase();
}

function nameOf(topic: string, object: Fields, key: string | undefined): string {
  const id = textOf(object, 'ID') ?? key ?? '?';
  if (topic === 'Job') return id;
  if (topic === 'Deployment') return `${id.slice(0, shortId)} of job ${textOf(object, 'JobID') ?? '?'}`;
  return (
    textOf(object, 'Name') ?? textOf(object, 'ServiceName') ?? (/^[0-9a-f-]{36}$/u.test(id) ? id.slice(0, shortId) : id)
  );
}

/** What the newest task event or else the description of the state says. */
function whyOf(object: Fields): string | undefined {
  let newest: { readonly time: number; readonly text: string } | undefined;
  for (const [task, state] of Object.entries(asFields(object['TaskStates']))) {
    const event = asFields(listOf(asFields(state), 'Events').at(-1));
    const time = numberOf(event, 'Time') ?? 0;
    const said = textOf(event, 'DisplayMessage') ?? textOf(event, 'Type');
    if (said !== undefined && (newest === undefined || time > newest.time))
      newest = { time, text: `task ${task}: ${said}` };
  }
  return newest?.text ?? textOf(object, 'ClientDescription') ?? textOf(object, 'StatusDescription');
}

function pathOf(topic: string, object: Fields, namespace: string | undefined): string | undefined {
  const id = textOf(object, 'ID');
  switch (topic) {
    case 'Allocation':
      return allocationPath(id);
    case 'Job':
      return jobPath(id, namespace);
    case 'Deployment':
      return jobPath(textOf(object, 'JobID'), namespace, '/deployments');
    case 'Node':
      return clientPath(id);
    case 'Evaluation':
      return evaluationPath(id);
    default:
      return undefined;
  }
}
