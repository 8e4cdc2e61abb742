/** Addresses in Nomad's own UI. */

export interface NomadLinks {
  job(namespace: string, job: string): string;
  task(allocation: string, task: string): string;
}

/** `uiUrl` is the address of the UI or of the server that has it, with or without `/ui`. */
export function createNomadLinks(uiUrl: string): NomadLinks {
  const base = new URL(uiUrl);
  base.username = '';
  base.password = '';
  base.hash = '';
  base.search = '';
  base.pathname = `${base.pathname.replace(/\/+$/u, '').replace(/\/ui$/u, '')}/ui`;
  const link = (...segments: readonly string[]): string => [base.href, ...segments].join('/');
  return {
    job: (namespace, job) => link('jobs', `${encode(job)}@${encode(namespace)}`),
    task: (allocation, task) => link('allocations', encode(allocation), encode(task)),
  };
}

/** n.b. `encodeURIComponent` throws on half of a surrogate pair, which JSON may hold. */
function encode(segment: string): string {
  return encodeURIComponent(Buffer.from(segment).toString());
}
