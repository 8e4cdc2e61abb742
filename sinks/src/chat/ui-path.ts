/** Paths in Nomad's web interface. Names are anybody's: a path leads where it says, or there is none. */
import { encodeUrlPart } from '../encoding/foreign-text.ts';

export function allocationPath(id: string | undefined, task?: string): string | undefined {
  const allocation = segment(id);
  const within = segment(task);
  return allocation === undefined ? undefined : `/allocations/${allocation}${within === undefined ? '' : `/${within}`}`;
}

/** `within` follows the job, such as `/deployments`. */
export function jobPath(id: string | undefined, namespace: string | undefined, within = ''): string | undefined {
  return id === undefined ? undefined : `/jobs/${encodeUrlPart(id)}@${encodeUrlPart(namespace ?? 'default')}${within}`;
}

export function clientPath(id: string | undefined): string | undefined {
  const client = segment(id);
  return client === undefined ? undefined : `/clients/${client}`;
}

export function evaluationPath(id: string | undefined): string | undefined {
  return id === undefined ? undefined : `/evaluations?currentEval=${encodeUrlPart(id)}`;
}

/** n.b. `.` and `..` are orders to whoever reads a URL, however they are escaped. */
function segment(name: string | undefined): string | undefined {
  return name === undefined || name === '.' || name === '..' ? undefined : encodeUrlPart(name);
}
