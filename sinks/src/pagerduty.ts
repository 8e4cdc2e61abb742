/**
 * Opens and resolves PagerDuty incidents through the Events API v2. The alert's id is the dedup_key, so that a loop is
 * one incident from its first announcement to its end.
 */
import { createHash } from 'node:crypto';
import type { Batch, Sink, SinkContext, SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { chatDelivery, chatSettings } from './chat/chat-settings.ts';
import { makeNotice, type Notice } from './chat/notice.ts';
import { shorten } from './chat/shorten.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { wellFormed } from './encoding/foreign-text.ts';
import { accessProblems, accessSettings, readAccess } from './http-request/http-access.ts';
import { expectAnybody, explainAnswer, HttpClient, judgeAnswer, type HttpVerdict } from './http-request/http-client.ts';
import { makeTarget, type RequestTarget } from './http-request/request-target.ts';
import { sendEach } from './http-request/send-each.ts';

const settings = {
  SINK_PAGERDUTY_ROUTING_KEY: {
    doc: 'Integration key of the service: 32 characters.',
    format: text,
    default: null,
    required: true,
    sensitive: true,
  },
  SINK_PAGERDUTY_ADDRESS: {
    doc: 'Where events are sent; another one for the service region EU.',
    format: url(['http:', 'https:']),
    default: 'https://events.pagerduty.com/v2/enqueue',
    example: 'https://events.eu.pagerduty.com/v2/enqueue',
  },
  SINK_PAGERDUTY_SEVERITY: {
    doc: 'Severity of a crash loop.',
    format: oneOf(['critical', 'error', 'warning', 'info']),
    default: 'error',
  },
  ...accessSettings('SINK_PAGERDUTY', 'PagerDuty'),
  ...chatSettings,
} as const satisfies Schema;

type PagerdutyValues = Values<typeof settings>;

/** PagerDuty's own: 1024 characters for the summary, 255 for the dedup_key, 512 KB for an event. */
const mostSummary = 1024;
const mostKey = 255;
const mostField = 255;
const mostDetail = 1024;

export interface EventOptions {
  readonly routingKey: string;
  readonly severity: string;
}

/** The body of a request. A Nomad event opens an incident of its own, of the severity `info`. */
export function makePagerdutyEvent(
  notice: Notice,
  { routingKey, severity }: EventOptions,
): Readonly<Record<string, unknown>> {
  const { kind, link } = notice;
  const details = [
    ...notice.facts,
    ...(notice.nextStep === undefined ? [] : [{ label: 'Next', text: notice.nextStep }]),
  ];
  const field = (name: string, value: string | undefined): object =>
    value === undefined ? {} : { [name]: shorten(value, mostField) };
  return {
    routing_key: routingKey,
    event_action: kind === 'resolved' ? 'resolve' : 'trigger',
    dedup_key: dedupKey(notice.id),
    client: 'Hydrant',
    ...(link === undefined ? {} : { client_url: link, links: [{ href: link, text: 'Show it in Nomad' }] }),
    payload: {
      summary: shorten(notice.sentence, mostSummary),
      source: shorten(`${notice.cluster}${notice.namespace === undefined ? '' : `/${notice.namespace}`}`, mostField),
      severity: kind === 'event' ? 'info' : severity,
      ...(notice.time === undefined ? {} : { timestamp: notice.time }),
      ...field('component', notice.task),
      ...field('group', notice.job),
      ...field('class', notice.type === '' ? undefined : notice.type),
      custom_details: Object.fromEntries(
        details.map(({ label, text: said }) => [shorten(label, mostField), shorten(said, mostDetail)]),
      ),
    },
  };
}

function dedupKey(id: string): string {
  return id.length <= mostKey ? wellFormed(id) : createHash('sha256').update(id).digest('hex');
}

const hints: Readonly<Record<number, string>> = {
  400: 'set SINK_PAGERDUTY_ROUTING_KEY to the integration key of an "Events API v2" integration, if it says that',
  404: 'set SINK_PAGERDUTY_ADDRESS',
};

/** 400 says that the event or its key is wrong; the rest may pass. */
export function judgeStatus(status: number): HttpVerdict {
  if (status >= 200 && status < 300) return 'taken';
  return status === 400 || status === 413 ? 'refused' : 'retry';
}

class PagerdutySink implements Sink {
  readonly #values: PagerdutyValues;
  readonly #target: RequestTarget;
  readonly #client: HttpClient;

  constructor(values: PagerdutyValues, context: SinkContext) {
    this.#values = values;
    const key = values.SINK_PAGERDUTY_ROUTING_KEY;
    const target = makeTarget({ address: values.SINK_PAGERDUTY_ADDRESS });
    this.#target = { ...target, hideSecrets: (said) => target.hideSecrets(said).replaceAll(key, '***') };
    this.#client = new HttpClient(this.#target, readAccess(values, 'SINK_PAGERDUTY'), context);
  }

  connect(): Promise<void> {
    return this.#client.open();
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    return sendEach(batch, (message) => this.#send(message, signal));
  }

  /** Whether somebody answers: the key can only be tried with an event. */
  async healthcheck(signal: AbortSignal): Promise<void> {
    const answer = await this.#client.send({ method: 'OPTIONS', signal });
    expectAnybody(answer, { target: this.#target, what: 'an event' });
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #send(message: Message, signal: AbortSignal): Promise<void> {
    const {
      SINK_PAGERDUTY_ROUTING_KEY: routingKey,
      SINK_PAGERDUTY_SEVERITY: severity,
      NOMAD_UI_URL: uiUrl,
    } = this.#values;
    const body = encodeOrRefuse(() =>
      Buffer.from(JSON.stringify(makePagerdutyEvent(makeNotice(message, uiUrl), { routingKey, severity }))),
    );
    const answer = await this.#client.send({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal,
    });
    const failure = explainAnswer(judgeAnswer(answer, judgeStatus), answer, {
      target: this.#target,
      what: 'an event',
      hint: hints[answer.status],
    });
    if (failure !== undefined) throw failure;
  }
}

/** An empty key would hide nothing and open nothing. */
function check(values: PagerdutyValues): readonly string[] {
  const problems = accessProblems(values, 'SINK_PAGERDUTY');
  return /^[A-Za-z0-9]{32}$/u.test(values.SINK_PAGERDUTY_ROUTING_KEY)
    ? problems
    : [
        ...problems,
        'Expected `SINK_PAGERDUTY_ROUTING_KEY` to be an integration key of 32 letters and digits, it is none',
      ];
}

export const pagerdutySink: SinkDefinition<typeof settings> = {
  type: 'pagerduty',
  settings,
  ...chatDelivery,
  check,
  create: (values, context) => new PagerdutySink(values, context),
};
