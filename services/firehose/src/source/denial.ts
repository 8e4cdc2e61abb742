/**
 * Why Nomad refused a stream. From 1.11.2 on it answers 200 before it looks at the token, and then just ends; before that it answered 403, without a word of
 * what is lacking. The lists, which need the same permissions, say it. Which lists show what, and what their answers prove, is pure; `createDenialProbe` asks.
 */
import { describeError } from '@hydrant/shared/foundation/errors';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { NomadAddress } from './address.ts';
import type { NomadClient } from './nomad-http-client.ts';
import type { StreamQuery } from './open-stream.ts';

export interface Probe {
  /** What the stream needs for these topics. */
  readonly permission: string;
  readonly topics: readonly string[];
  /** Undefined: a permission that is bound to none. */
  readonly namespace: string | undefined;
  readonly path: string;
}

export interface ProbeResult {
  readonly probe: Probe;
  /** `failed`: answered neither yes nor no. */
  readonly outcome: 'allowed' | 'refused' | 'failed';
  /** Status and Nomad's own words, or what kept us from asking. */
  readonly words: string;
}

/** `refused`: a list is refused, too. `lists-allowed`: none is. `unknown`: none is, and some gave no answer. */
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
}

const readJob: Need = { permission: 'the capability read-job', list: 'allocations?per_page=1', isNamespaced: true };
const management: Need = { permission: 'a management token', list: 'acl/tokens?per_page=1', isNamespaced: false };
const needs: ReadonlyMap<string, Need> = new Map([
  // n.b. the list of jobs needs list-jobs, which says nothing about the stream.
  ...['Job', 'Allocation', 'Evaluation', 'Deployment', 'Service', 'CSIPlugin'].map((topic) => [topic, readJob] as const),
  ['Node', { permission: 'the policy node { policy = "read" }', list: 'nodes?per_page=1', isNamespaced: false }],
  ['HostVolume', { permission: 'the capability host-volume-read', list: 'volumes?type=host&per_page=1', isNamespaced: true }],
  ['CSIVolume', { permission: 'the capability csi-read-volume', list: 'volumes?type=csi&per_page=1', isNamespaced: true }],
]);
/** Permissions that no list shows. */
const hiddenTopics: ReadonlySet<string> = new Set(['Variable', 'Operator']);

const maxNamespaces = 50;
const maxNamed = 10;
const limitMs = 10_000;
const silentMs = 5_000;

function withRegion(path: string, region: string): string {
  return region === '' ? path : `${path}${path.includes('?') ? '&' : '?'}region=${encodeURIComponent(region)}`;
}

/** One probe for each permission that the topics need, in each of `namespaces` where it is bound to one. */
export function planProbes({ topics, region }: Pick<StreamQuery, 'topics' | 'region'>, namespaces: readonly string[]): Probe[] {
  const topicsOf = new Map<Need, string[]>();
  for (const topic of topics) {
    if (hiddenTopics.has(topic)) continue;
    const need = needs.get(topic) ?? management;
    topicsOf.set(need, [...topicsOf.get(need) ?? [], topic]);
  }
  return [...topicsOf].flatMap(([{ permission, list, isNamespaced }, needed]) => {
    const places = isNamespaced ? namespaces : [undefined];
    return places.map((namespace) => {
      const path = `/v1/${list}${namespace === undefined ? '' : `&namespace=${encodeURIComponent(namespace)}`}`;
      return { permission, topics: needed, namespace, path: withRegion(path, region) };
    });
  });
}

function nameSome(names: readonly string[]): string {
  const named = names.slice(0, maxNamed).map((name) => `"${name}"`).join(', ');
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
  return [...groups.values()].map(({ first: { probe, words }, namespaces }) => {
    const place = namespaces.length === 0 ? '' : ` in ${namespaces.length === 1 ? 'namespace' : 'namespaces'} ${nameSome(namespaces)}`;
    return `${probe.topics.join(', ')}${place} (needs ${probe.permission}): ${words}`;
  }).join('; ');
}

function describeAllowed({ topics, namespace }: StreamQuery): string {
  const hidden = topics.filter((topic) => hiddenTopics.has(topic));
  const guesses = [
    ...(namespace === '*' ? ['one namespace that the token cannot see lacks read-job (FIREHOSE_NAMESPACE=* needs it in every one)'] : []),
    hidden.length > 0 ? `${hidden.join(', ')} needs a permission that no list shows` : 'a topic needs a management token',
    'the server\'s event broker is off (enable_event_broker)',
  ];
  return `every list is allowed; likely ${guesses.join(', or ')}`;
}

/** What the answers prove. Throws nothing. */
export function explainDenial(query: StreamQuery, results: readonly ProbeResult[]): Denial {
  const refused = results.filter(({ outcome }) => outcome === 'refused');
  if (refused.length > 0) return { cause: 'refused', reason: `the token may not read ${describeResults(refused)}` };
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0) return { cause: 'unknown', reason: `the lists do not tell why: ${describeResults(failed)}` };
  return { cause: 'lists-allowed', reason: describeAllowed(query) };
}

/** Resolves within 10 s; rejects only with the reason of `signal`. */
export type ProbeDenial = (address: NomadAddress, signal: AbortSignal) => Promise<Denial>;

function readNames(body: Buffer): string[] {
  const listed: unknown = JSON.parse(body.toString('utf8'));
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((entry: unknown) => (typeof entry === 'object' && entry !== null && 'Name' in entry && typeof entry.Name === 'string' ? [entry.Name] : []));
}

/** 400: access control is off, or the list does not exist in that form; 404: older than the list. Neither is a refusal. */
function judge(status: number): ProbeResult['outcome'] {
  if (status === 200 || status === 400 || status === 404) return 'allowed';
  return status === 401 || status === 403 ? 'refused' : 'failed';
}

/** One answer for each probe, or what is refused before any list is asked. Resolves within 10 s; rejects only with the reason of `signal`. */
export type ProbePermissions = (address: NomadAddress, signal: AbortSignal) => Promise<readonly ProbeResult[] | Denial>;

export function createPermissionProbe(client: NomadClient, query: StreamQuery, clock: Clock): ProbePermissions {
  async function ask(address: NomadAddress, probe: Probe, signal: AbortSignal): Promise<ProbeResult> {
    try {
      const answer = await client.request(address, probe.path, signal, { silentMs });
      return { probe, outcome: judge(answer.status), words: `${String(answer.status)} ${answer.words}`.trim() };
    } catch (thrown) {
      return { probe, outcome: 'failed', words: describeError(thrown) };
    }
  }

  /** Nomad lists those in which the token may do anything at all; it answers so to every token that it knows. */
  async function findNamespaces(address: NomadAddress, signal: AbortSignal): Promise<readonly string[] | Denial> {
    const asked = query.namespace === '*' ? 'default' : query.namespace;
    try {
      const answer = await client.request(address, withRegion('/v1/namespaces', query.region), signal, { silentMs });
      if (judge(answer.status) === 'refused') return { cause: 'refused', reason: `the token itself is refused: ${String(answer.status)} ${answer.words}` };
      const names = query.namespace === '*' && answer.status === 200 ? readNames(answer.body) : [];
      return names.length === 0 ? [asked] : names.toSorted().slice(0, maxNamespaces);
    } catch {
      // The probes meet the same trouble, and tell of it.
      return [asked];
    }
  }

  return async (address, signal) => {
    const late = new AbortController();
    const timer = clock.after(limitMs, () => { late.abort(new Error(`no answer within ${String(limitMs / 1000)} s`)); });
    const either = AbortSignal.any([signal, late.signal]);
    try {
      const results: ProbeResult[] = [];
      const namespaces = await findNamespaces(address, either);
      signal.throwIfAborted();
      if ('cause' in namespaces) return namespaces;
      for (const probe of planProbes(query, namespaces)) results.push(await ask(address, probe, either));
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

/** Of these topics no list shows whether the token may read them. */
export function topicsWithoutProbe(topics: readonly string[]): readonly string[] {
  return topics.filter((topic) => hiddenTopics.has(topic));
}
