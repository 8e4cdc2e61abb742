/**
 * What `doctor` asks of Nomad, at each address: whether an agent answers, for each topic and namespace whether the
 * token may read it, and whether the event stream opens with all of them, which is the last word.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import type { Examination, Finding } from '@hydrant/shared/runtime/doctor';
import type { NomadAddress } from './address.ts';
import {
  createPermissionProbe,
  explainDenial,
  planListProbes,
  readNamespaceNames,
  withRegion,
  type ProbeResult,
} from './denial.ts';
import type { NomadAccess } from './nomad-access.ts';
import { answerWords, isHtml, type NomadAnswer } from './nomad-failure.ts';
import { createNomadClient, type NomadClient } from './nomad-http-client.ts';
import { createStreamOpener, type StreamQuery } from './open-stream.ts';

export interface ExamineNomadOptions extends StreamQuery {
  readonly addresses: readonly NomadAddress[];
  readonly access: NomadAccess;
}

/** Beyond any index: the stream begins at its newest frame. */
const newestIndex = '9223372036854775807';
const advice = 'check NOMAD_ADDR, and NOMAD_TOKEN and the certificates where Nomad asks for them';
const silentMs = 5_000;
const mostNamed = 20;
const nomadAnswers: ReadonlySet<number> = new Set([200, 401, 403]);

function placeOf({ topics, namespace }: ProbeResult['probe']): string {
  return `${topics.join(', ')}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
}

function describeProbe(result: ProbeResult): Finding {
  const { probe, outcome, words } = result;
  const subject = placeOf(probe);
  if (outcome === 'allowed') return { subject, isWell: true, detail: 'the token may read it' };
  if (outcome === 'unproven')
    return {
      subject,
      isWell: true,
      detail: `no list shows whether the token has what it needs, ${probe.permission}; the stream does`,
    };
  if (outcome === 'refused')
    return { subject, isWell: false, detail: `the token may not: ${words}; give it ${probe.permission}` };
  return {
    subject,
    isWell: false,
    detail: `Nomad did not say whether the token may: ${words}; ask again when it is well`,
  };
}

/**
 * n.b. without them the stream opens, but what a gap has lost does not come back, and FIREHOSE_COMPAT=jobliststubs has
 * nothing to publish.
 */
function describeListProbe(result: ProbeResult): Finding {
  const { probe, outcome, words } = result;
  const subject = `list of ${placeOf(probe)}`;
  if (outcome === 'refused')
    return {
      subject,
      isWell: false,
      detail: `the token may not: ${words}; give it ${probe.permission}, which healing a gap and FIREHOSE_COMPAT=jobliststubs need`,
    };
  return { ...describeProbe(result), subject };
}

/** Nomad opens a stream of a namespace that does not exist, and nothing ever comes. */
function examineNamespace(
  namespace: string,
  { status, body }: Pick<NomadAnswer, 'status' | 'body'>,
): readonly Finding[] {
  const names = status === 200 ? readNamespaceNames(body) : [];
  if (namespace === '*' || names.length === 0 || names.includes(namespace)) return [];
  const shown = names.toSorted().slice(0, mostNamed).join(', ');
  return [
    {
      subject: `namespace ${namespace}`,
      isWell: false,
      detail: `does not exist, or the token may not see it; FIREHOSE_NAMESPACE takes one of ${shown}${names.length > mostNamed ? ', …' : ''}, or *`,
    },
  ];
}

/** Waits for the first bytes of a stream, `{}`, which a stream that is refused ends without. */
async function opens(
  client: NomadClient,
  query: StreamQuery,
  address: NomadAddress,
  signal: AbortSignal,
): Promise<boolean> {
  const stream = await createStreamOpener(client, query)(address, newestIndex, signal);
  const close = (): void => {
    void stream.close();
  };
  signal.addEventListener('abort', close, { once: true });
  try {
    for await (const bytes of stream.bytes) if (bytes.length > 0) return true;
    return false;
  } finally {
    signal.removeEventListener('abort', close);
    stream.close();
  }
}

async function examineStream(
  client: NomadClient,
  query: StreamQuery,
  address: NomadAddress,
  answered: readonly ProbeResult[],
  signal: AbortSignal,
): Promise<Finding> {
  const subject = `event stream at ${address.label}`;
  try {
    if (await opens(client, query, address, signal))
      return { subject, isWell: true, detail: 'opens with all of these' };
    return { subject, isWell: false, detail: `is refused (200 and nothing): ${explainDenial(query, answered).reason}` };
  } catch (thrown) {
    return { subject, isWell: false, detail: `${describeError(thrown)}; ${advice}` };
  }
}

async function examineAddress(
  options: ExamineNomadOptions,
  address: NomadAddress,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const subject = `nomad ${address.label}`;
  const client = createNomadClient(options.access);
  const first = await client.request(address, withRegion('/v1/namespaces', options.region), signal, { silentMs });
  // A refusal is an answer, too: what is refused is said below.
  if (!nomadAnswers.has(first.status) || isHtml(first)) {
    throw new HydrantError(
      `Expected ${address.label} to answer as Nomad does, got ${String(first.status)} ${answerWords(first)}`,
      { code: 'nomad-refused', retryable: true },
    );
  }
  const answered = await createPermissionProbe(client, options, clock)(address, signal);
  const reached: Finding = { subject, isWell: true, detail: 'answers' };
  if ('cause' in answered)
    return [
      reached,
      { subject: 'token', isWell: false, detail: `${answered.reason}; set NOMAD_TOKEN to one that Nomad knows` },
    ];
  const lists = await createPermissionProbe(client, options, clock, planListProbes)(address, signal);
  return [
    reached,
    ...examineNamespace(options.namespace, first),
    ...answered.map(describeProbe),
    ...('cause' in lists ? [] : lists.map(describeListProbe)),
    await examineStream(client, options, address, answered, signal),
  ];
}

export function examineNomad(options: ExamineNomadOptions, clock: Clock): readonly Examination[] {
  return options.addresses.map((address) => ({
    subject: `nomad ${address.label}`,
    advice,
    examine: (signal: AbortSignal) => examineAddress(options, address, clock, signal),
  }));
}
