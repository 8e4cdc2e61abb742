/** What Hydrant publishes under. Exchanges carry the messages of others, too, and alerts may have any key. */

/** The first word of an event's key, `event.<Topic>.<Type>.<namespace>.<job>`, and how many it has. */
export const eventWord = 'event';
export const eventWords = 5;
export const alertKey = 'crash-loop';
export const resolvedKey = 'crash-loop-resolved';
/** Named as nomad-firehose's commands, which were its routing keys; see FIREHOSE_COMPAT. */
export const compatKeys = ['allocations', 'nodes', 'evaluations', 'jobs', 'jobliststubs', 'deployments'] as const;
