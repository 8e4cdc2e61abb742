/**
 * Why Nomad refused a stream. From 1.11.2 on it answers 200 before it looks at the token, and then just ends; before
 * that it answered 403, without a word of what is lacking. The lists, which need the same permissions, say it. Which
 * lists show what, and what their answers prove, is pure; `createDenialProbe` asks.
 */
import { describeError } from '@hydrant/shared/foundation/errors';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { NomadAddress } from './address.ts';
import type { NomadAnswer } from './nomad-failure.ts';
import type { NomadClient } from './nomad-http-client.ts';
import type { StreamQuery } from './open-stream.ts';

export interface Probe {
  /** What the stream needs for these topics. */
  readonly permission: string;
  readonly topics: readonly string[];
  /** Undefined: a permission that is bound to none. */
  readonly namespace: string | undefined;
  readonly path: string;
  /** What an answer of 200 proves. Default: the permission. */
  readonly proof?: Proof;
}

/**
 * `elements`: a list with something in it proves the permission, an empty one nothing. `none`: other permissions open
 * the list, too.
 */
type Proof = 'elements' | 'none';

export interface ProbeResult {
  readonly probe: Probe;
  /**
   * `unproven`: was answered, which these lists do without the permission, too. `failed`: answered neither yes nor no.
   */
  readonly outcome: 'allowed' | 'unproven' | 'refused' | 'failed';
  /** Status and Nomad's own words, or what kept us from asking. */
  readonly words: string;
}

/**
 * `refused`: a list is refused, too. `lists-allowed`: none is, and nothing else is known. `unknown`: none is, and some
 * gave no answer.
 */
export const denialCauses = ['refused', 'lists-allowed', 'unknown'] as const;

export interface Denial {
  readonly cause: (typeof denialCauses)[number];
  /** A sentence for people, the same for the same answers. */
  readonly reason: string;
}

interface Need {
  readonly permission: string;
  readonly list: string;
  readonly isNamespaced: boolean;
  readonly proof?: Proof;
}

const readJob: Need = { permission: 'the capability read-job', list: 'allocations?per_page=1', isNamespaced: true };
const management: Need = { permission: 'a management token', list: 'acl/tokens?per_page=1', isNamespaced: false };
const listJobs: Need = { permission: 'the capability list-jobs', list: 'jobs?per_page=1', isNamespaced: true };
const listPlugins: Need = {
  permission: 'the policy plugin { policy = "list" }',
  list: 'plugins?type=csi&per_page=1',
  isNamespaced: false,
};

/** What the stream needs. */
const needs: ReadonlyMap<string, Need> = new Map([
  // n.b. the list of jobs needs list-jobs, which says nothing about the stream.
  ...['Job', 'Allocation', 'Evaluation', 'Deployment', 'Service', 'CSIPlugin'].map(
    (topic) => [topic, readJob] as const,
  ),
  ['Node', { permission: 'the policy node { policy = "read" }', list: 'nodes?per_page=1', isNamespaced: false }],
  // n.b. to a token without the capability the list shows nothing and says 200.
  [
    'HostVolume',
    {
      permission: 'the capability host-volume-read',
      list: 'volumes?type=host&per_page=1',
      isNamespaced: true,
      proof: 'elements',
    },
  ],
  // n.b. csi-list-volume and list-jobs open the list, but not the stream.
  [
    'CSIVolume',
    {
      permission: 'the capability csi-read-volume',
      list: 'volumes?type=csi&per_page=1',
      isNamespaced: true,
      proof: 'none',
    },
  ],
  [
    'Variable',
    {
      permission: 'a rule variables { path "*" { capabilities = ["list"] } }',
      list: 'vars?per_page=1',
      isNamespaced: true,
      proof: 'elements',
    },
  ],
  [
    'Operator',
    {
      permission: 'the policy operator { policy = "read" }',
      list: 'operator/scheduler/configuration',
      isNamespaced: false,
    },
  ],
]);

/** What the lists need beyond that, which are read when a stream has a gap and with FIREHOSE_START=snapshot. */
const listNeeds: ReadonlyMap<string, Need> = new Map([
  ['Job', listJobs],
  ['CSIPlugin', listPlugins],
]);

const maxNamespaces = 50;
const maxNamed = 10;
const limitMs = 10_000;
const silentMs = 5_000;

export function withRegion(path: string, region: string): string {
  return region === '' ? path : `${path}${path.includes('?') ? '&' : '?'}region=${encodeURIComponent(region)}`;
}

function planFor(
  needOf: (topic: string) => Need | undefined,
  { topics, region }: Pick<StreamQuery, 'topics' | 'region'>,
  namespaces: readonly string[],
): Probe[] {
  const topicsOf = new Map<Need, string[]>();
  for (const topic of topics) {
    const need = needOf(topic);
    if (need !== undefined) topicsOf.set(need, [...(topicsOf.get(need) ?? []), topic]);
  }
  return [...topicsOf].flatMap(([{ permission, list, isNamespaced, proof }, needed]) => {
    const places = isNamespaced ? namespaces : [undefined];
    return places.map((namespace) => {
      const parameter =
        namespace === undefined ? '' : `${list.includes('?') ? '&' : '?'}namespace=${encodeURIComponent(namespace)}`;
      return {
        permission,
        topics: needed,
        namespace,
        path: withRegion(`/v1/${list}${parameter}`, region),
        ...(proof === undefined ? {} : { proof }),
      };
    });
  });
}

/**
 * One probe for each permission that the stream of these topics needs, in each of `namespaces` where it is bound to
 * one.
 */
export function planProbes(query: Pick<StreamQuery, 'topics' | 'region'>, namespaces: readonly string[]): Probe[] {
  return planFor((topic) => needs.get(topic) ?? management, query, namespaces);
}

/** The same for what the lists of these topics need beside. */
export function planListProbes(query: Pick<StreamQuery, 'topics' | 'region'>, namespaces: readonly string[]): Probe[] {
  const topics = query.topics.includes('*') ? [...listNeeds.keys()] : query.topics;
  return planFor((topic) => listNeeds.get(topic), { ...query, topics }, namespaces);
}

function nameSome(names: readonly string[]): string {
  const named = names
    .slice(0, maxNamed)
    .map((name) => `"${name}"`)
    .join(', ');
  return names.length > maxNamed ? `${named} and ${String(names.length - maxNamed)} more` : named;
}

/** Results that differ in nothing but the namespace become one line. */
function describeResults(results: readonly ProbeResult[]): string {
  const groups = new Map<string, { readonly first: ProbeResult; readonly namespaces: string[] }>();
  for (const result of results) {
    const { permission, namespace } = result.probe;
    const key = JSON.stringify([permission, result.words]);
    const group = groups.get(key) ?? { first: result, namespaces: [] };
    if (namespace !== undefined) group.namespaces.push(namespace);
    groups.set(key, group);
  }
  return [...groups.values()]
    .map(({ first: { probe, words }, namespaces }) => {
      const place =
        namespaces.length === 0
          ? ''
          : ` in ${namespaces.length === 1 ? 'namespace' : 'namespaces'} ${nameSome(namespaces)}`;
      return `${probe.topics.join(', ')}${place} (needs ${probe.permission}): ${words}`;
    })
    .join('; ');
}

function describeLacking(results: readonly ProbeResult[]): readonly string[] {
  const topicsOf = new Map<string, ReadonlySet<string>>();
  for (const { probe } of results)
    topicsOf.set(probe.permission, new Set([...(topicsOf.get(probe.permission) ?? []), ...probe.topics]));
  return [...topicsOf].map(
    ([permission, topics]) => `the token lacks ${permission}, which ${[...topics].join(', ')} needs and no list shows`,
  );
}

function describeAllowed({ topics, namespace }: StreamQuery, results: readonly ProbeResult[]): string {
  const guesses = [
    ...describeLacking(results.filter(({ outcome }) => outcome === 'unproven')),
    ...(namespace === '*'
      ? ['one namespace that the token cannot see lacks read-job (FIREHOSE_NAMESPACE=* needs it in every one)']
      : []),
    ...(topics.some((topic) => !needs.has(topic)) ? ['a topic needs a management token'] : []),
    "the server's event broker is off (enable_event_broker)",
  ];
  return `no list is refused; likely ${guesses.join(', or ')}`;
}

/** What the answers prove. Throws nothing. */
export function explainDenial(query: StreamQuery, results: readonly ProbeResult[]): Denial {
  const refused = results.filter(({ outcome }) => outcome === 'refused');
  if (refused.length > 0) return { cause: 'refused', reason: `the token may not read ${describeResults(refused)}` };
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0) return { cause: 'unknown', reason: `the lists do not tell why: ${describeResults(failed)}` };
  return { cause: 'lists-allowed', reason: describeAllowed(query, results) };
}

/** Resolves within 10 s; rejects only with the reason of `signal`. */
export type ProbeDenial = (address: NomadAddress, signal: AbortSignal) => Promise<Denial>;

/** Of an answer to `/v1/namespaces`; none when it is no list. */
export function readNamespaceNames(body: Buffer): string[] {
  const listed = parseList(body);
  return listed.flatMap((entry: unknown) =>
    typeof entry === 'object' && entry !== null && 'Name' in entry && typeof entry.Name === 'string'
      ? [entry.Name]
      : [],
  );
}

function parseList(body: Buffer): readonly unknown[] {
  try {
    const listed: unknown = JSON.parse(body.toString('utf8'));
    return Array.isArray(listed) ? listed : [];
  } catch {
    return [];
  }
}

/**
 * 400: access control is off, or the list does not exist in that form; 404: older than the list. Neither is a refusal.
 */
function judge(status: number): ProbeResult['outcome'] {
  if (status === 200 || status === 400 || status === 404) return 'allowed';
  return status === 401 || status === 403 ? 'refused' : 'failed';
}

function judgeAnswer({ proof }: Probe, { status, body }: Pick<NomadAnswer, 'status' | 'body'>): ProbeResult['outcome'] {
  const outcome = judge(status);
  const isProven = proof === undefined || (proof === 'elements' && status === 200 && parseList(body).length > 0);
  return outcome === 'allowed' && !isProven ? 'unproven' : outcome;
}

/**
 * One answer for each probe, or what is refused before any list is asked. Resolves within 10 s; rejects only with the
 * reason of `signal`.
 */
export type ProbePermissions = (address: NomadAddress, signal: AbortSignal) => Promise<readonly ProbeResult[] | Denial>;

export function createPermissionProbe(
  client: NomadClient,
  query: StreamQuery,
  clock: Clock,
  plan: typeof planProbes = planProbes,
): ProbePermissions {
  async function ask(address: NomadAddress, probe: Probe, signal: AbortSignal): Promise<ProbeResult> {
    try {
      const answer = await client.request(address, probe.path, signal, { silentMs });
      return { probe, outcome: judgeAnswer(probe, answer), words: `${String(answer.status)} ${answer.words}`.trim() };
    } catch (thrown) {
      return { probe, outcome: 'failed', words: describeError(thrown) };
    }
  }

  /** Nomad lists those in which the token may do anything at all; it answers so to every token that it knows. */
  async function findNamespaces(address: NomadAddress, signal: AbortSignal): Promise<readonly string[] | Denial> {
    const asked = query.namespace === '*' ? 'default' : query.namespace;
    try {
      const answer = await client.request(address, withRegion('/v1/namespaces', query.region), signal, { silentMs });
      if (judge(answer.status) === 'refused')
        return { cause: 'refused', reason: `the token itself is refused: ${String(answer.status)} ${answer.words}` };
      const names = query.namespace === '*' && answer.status === 200 ? readNamespaceNames(answer.body) : [];
      return names.length === 0 ? [asked] : names.toSorted().slice(0, maxNamespaces);
    } catch {
      // The probes meet the same trouble, and tell of it.
      return [asked];
    }
  }

  return async (address, signal) => {
    const late = new AbortController();
    const timer = clock.after(limitMs, () => {
      late.abort(new Error(`no answer within ${String(limitMs / 1000)} s`));
    });
    const either = AbortSignal.any([signal, late.signal]);
    try {
      const results: ProbeResult[] = [];
      const namespaces = await findNamespaces(address, either);
      signal.throwIfAborted();
      if ('cause' in namespaces) return namespaces;
      for (const probe of plan(query, namespaces)) results.push(await ask(address, probe, either));
      signal.throwIfAborted();
      return results;
    } finally {
      timer.cancel();
    }
  };
}

export function createDenialProbe(client: NomadClient, query: StreamQuery, clock: Clock): ProbeDenial {
  const probePermissions = createPermissionProbe(client, query, clock);
  return async (address, signal) => {
    const answered = await probePermissions(address, signal);
    return 'cause' in answered ? answered : explainDenial(query, answered);
  };
}
