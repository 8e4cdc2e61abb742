/**
 * The topics of Nomad's event stream that are known, and what to make of a word that is none of them: a slip, or a
 * topic of a newer Nomad.
 */
export const nomadTopics = [
  'Job',
  'Allocation',
  'Evaluation',
  'Deployment',
  'Node',
  'NodePool',
  'Service',
  'HostVolume',
  'CSIVolume',
  'CSIPlugin',
  'Variable',
  'ACLToken',
  'ACLPolicy',
  'ACLRole',
  'ACLAuthMethod',
  'ACLBindingRule',
  'Operator',
] as const;

const known: ReadonlySet<string> = new Set(nomadTopics);

export function isKnownTopic(word: string): boolean {
  return known.has(word);
}

/** As Nomad writes its topics. */
export function isTopicName(word: string): boolean {
  return /^[A-Z][A-Za-z]+$/u.test(word);
}
