/**
 * Opens Nomad's event stream at one address: which path asks for which topics. What the bytes mean is not known here.
 */
import type { NomadAddress } from './address.ts';
import type { NomadClient, NomadStream } from './nomad-http-client.ts';

export interface StreamQuery {
  /** Each topic once: Nomad takes a repeated one for a filter that matches nothing. */
  readonly topics: readonly string[];
  readonly namespace: string;
  /** Empty: the agent's own. */
  readonly region: string;
}

export type OpenedStream = NomadStream;

/** Resolves when Nomad has answered 200. Rejects with a HydrantError, or the reason of `signal`. */
export type OpenStream = (address: NomadAddress, index: string, signal: AbortSignal) => Promise<OpenedStream>;

export function streamPath(query: StreamQuery, index: string): string {
  const parameters = new URLSearchParams({ index, namespace: query.namespace });
  for (const topic of query.topics) parameters.append('topic', topic);
  if (query.region !== '') parameters.append('region', query.region);
  return `/v1/event/stream?${parameters.toString()}`;
}

/** The same text for the same set of events: a checkpoint made with another proves nothing about this stream. */
export function describeFilter({ topics, namespace, region }: StreamQuery): string {
  return `topics=${topics.toSorted().join(',')} namespace=${namespace} region=${region}`;
}

export function createStreamOpener(client: NomadClient, query: StreamQuery): OpenStream {
  return (address, index, signal) => client.stream(address, streamPath(query, index), signal);
}
