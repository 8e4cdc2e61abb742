/**
 * Whether an error that Redis answered says that this connection leads to a server that cannot serve now, most often
 * after a failover: the old connection stands and would say so for ever, another one may reach the right server. Fits
 * ioredis as `reconnectOnError`; the command that got the answer was not run.
 */

/**
 * READONLY: became a replica. MASTERDOWN: a replica without its master. NOREPLICAS: a master that was cut off from its
 * replicas. LOADING: started a moment ago; the client then waits until it has loaded. CLUSTERDOWN: a node without its
 * cluster. n.b. what a command within a script was refused for stands in the middle of the answer up to Redis 6.
 */
const answer = /(?:^|\s-)(READONLY|MASTERDOWN|NOREPLICAS|LOADING|CLUSTERDOWN)\b/u;

export function reconnectOnError({ message }: Error): boolean {
  return answer.test(message);
}
