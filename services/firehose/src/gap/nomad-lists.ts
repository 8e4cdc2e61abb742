/**
 * Which list of Nomad gives back the current objects of a topic, and how an object of it becomes the payload of an
 * event.
 */
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
 * Services are missing because their list carries no index; ACL objects, because reading them takes a management token
 * and their lists leave out what their events carry; Operator, because there is no list.
 */
const lists: readonly NomadList[] = [
  // Jobs and nodes before what refers to them.
  { topic: 'Node', path: '/v1/nodes?resources=true&os=true', payloadKey: 'Node', keyMember: 'ID', isNamespaced: false },
  { topic: 'NodePool', path: '/v1/node/pools', payloadKey: 'NodePool', keyMember: 'Name', isNamespaced: false },
  { topic: 'Job', path: '/v1/jobs?meta=true', payloadKey: 'Job', keyMember: 'ID', isNamespaced: true },
  { topic: 'Deployment', path: '/v1/deployments', payloadKey: 'Deployment', keyMember: 'ID', isNamespaced: true },
  { topic: 'Evaluation', path: '/v1/evaluations', payloadKey: 'Evaluation', keyMember: 'ID', isNamespaced: true },
  {
    topic: 'Allocation',
    path: '/v1/allocations?task_states=true&resources=true',
    payloadKey: 'Allocation',
    keyMember: 'ID',
    isNamespaced: true,
  },
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

/** Lists of which only the index is of use, and only together with the topic. */
const indexLists: readonly Pick<NomadList, 'topic' | 'path' | 'isNamespaced'>[] = [
  { topic: 'Service', path: '/v1/services', isNamespaced: true },
  { topic: 'ACLToken', path: '/v1/acl/tokens', isNamespaced: false },
  { topic: 'ACLPolicy', path: '/v1/acl/policies', isNamespaced: false },
  { topic: 'ACLRole', path: '/v1/acl/roles', isNamespaced: false },
  { topic: 'ACLAuthMethod', path: '/v1/acl/auth-methods', isNamespaced: false },
  { topic: 'ACLBindingRule', path: '/v1/acl/binding-rules', isNamespaced: false },
];

/**
 * Whose index tells how far Nomad has come in these topics. A node is sent with the index of its allocations, too. Of
 * topics that are missing here no list tells.
 */
export function indexListsOf(topics: Iterable<string>): readonly Pick<NomadList, 'topic' | 'path' | 'isNamespaced'>[] {
  const wanted = new Set(topics);
  if (wanted.has('Node')) wanted.add('Allocation');
  return [...lists, ...indexLists].filter(({ topic }) => wanted.has('*') || wanted.has(topic));
}
