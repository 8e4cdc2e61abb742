/** Which list of Nomad gives back the current objects of a topic, and how an object of it becomes the payload of an event. */
export interface NomadList {
  readonly topic: string;
  /** Without namespace, page and region. */
  readonly path: string;
  /** The member of an event's payload under which Nomad sends this object. */
  readonly payloadKey: string;
  /** The member that is the event's Key. */
  readonly keyMember: 'ID' | 'Name' | 'Path';
  readonly isNamespaced: boolean;
}

/**
 * Services are missing because their list carries no index; ACL objects, because reading them takes a management token and their lists leave out
 * what their events carry; Operator, because there is no list.
 */
const lists: readonly NomadList[] = [
  // Jobs and nodes before what refers to them.
  { topic: 'Node', path: '/v1/nodes?resources=true&os=true', payloadKey: 'Node', keyMember: 'ID', isNamespaced: false },
  { topic: 'NodePool', path: '/v1/node/pools', payloadKey: 'NodePool', keyMember: 'Name', isNamespaced: false },
  { topic: 'Job', path: '/v1/jobs?meta=true', payloadKey: 'Job', keyMember: 'ID', isNamespaced: true },
  { topic: 'Deployment', path: '/v1/deployments', payloadKey: 'Deployment', keyMember: 'ID', isNamespaced: true },
  { topic: 'Evaluation', path: '/v1/evaluations', payloadKey: 'Evaluation', keyMember: 'ID', isNamespaced: true },
  { topic: 'Allocation', path: '/v1/allocations?task_states=true&resources=true', payloadKey: 'Allocation', keyMember: 'ID', isNamespaced: true },
  { topic: 'HostVolume', path: '/v1/volumes?type=host', payloadKey: 'Volume', keyMember: 'ID', isNamespaced: true },
  { topic: 'CSIVolume', path: '/v1/volumes?type=csi', payloadKey: 'Volume', keyMember: 'ID', isNamespaced: true },
  { topic: 'CSIPlugin', path: '/v1/plugins?type=csi', payloadKey: 'Plugin', keyMember: 'ID', isNamespaced: false },
  { topic: 'Variable', path: '/v1/vars', payloadKey: 'Metadata', keyMember: 'Path', isNamespaced: true },
];

/** In the order in which they are read. */
export function listsOf(topics: Iterable<string>): readonly NomadList[] {
  const wanted = new Set(topics);
  return lists.filter(({ topic }) => wanted.has('*') || wanted.has(topic));
}

/** The topics of which no list tells. */
export function unlistedTopics(topics: Iterable<string>): readonly string[] {
  return [...topics].filter((topic) => topic !== '*' && !lists.some((list) => list.topic === topic));
}

export interface PageQuery {
  readonly namespace: string;
  /** Empty: the agent's own. */
  readonly region: string;
  readonly perPage: number;
  /** Empty: the first page. */
  readonly nextToken: string;
}

export function pagePath({ path, isNamespaced }: NomadList, { namespace, region, perPage, nextToken }: PageQuery): string {
  const parameters = new URLSearchParams({ per_page: String(perPage) });
  if (isNamespaced) parameters.set('namespace', namespace);
  if (region !== '') parameters.set('region', region);
  if (nextToken !== '') parameters.set('next_token', nextToken);
  return `${path}${path.includes('?') ? '&' : '?'}${parameters.toString()}`;
}
