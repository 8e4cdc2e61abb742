/**
 * Says in Slack what happened, through an incoming webhook: a sentence, facts, the next step and a link, each within
 * Slack's sizes.
 */
import type { Batch, Sink, SinkContext, SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { url } from '@hydrant/shared/runtime/config/formats';
import { makeHider } from '@hydrant/shared/runtime/config/mask-url';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { chatDelivery, chatSettings } from './chat/chat-settings.ts';
import type { NoticeKind } from './chat/description.ts';
import { makeNotice, type Notice } from './chat/notice.ts';
import { shorten } from './chat/shorten.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { accessProblems, accessSettings, readAccess } from './http-request/http-access.ts';
import { expectAnybody, explainAnswer, HttpClient, judgeAnswer, type HttpVerdict } from './http-request/http-client.ts';
import { makeTarget, type RequestTarget } from './http-request/request-target.ts';
import { sendEach } from './http-request/send-each.ts';

const settings = {
  SINK_SLACK_WEBHOOK_URL: {
    doc: 'Incoming webhook of the channel.',
    format: url(['http:', 'https:']),
    default: null,
    required: true,
    sensitive: true,
    example: 'https://hooks.slack.example/services/T0/B0/x',
    aliases: ['SLACK_WEBHOOK_URL', 'SLACK_WEB_HOOK_URL'],
  },
  ...accessSettings('SINK_SLACK', 'Slack'),
  ...chatSettings,
} as const satisfies Schema;

type SlackValues = Values<typeof settings>;

/**
 * Slack's limits are 3000 characters for the text of a block and 40,000 for that of a message, which it shortens
 * itself.
 */
const mostBlockText = 3000;
const mostFallback = 1000;
/** n.b. A command is shown whole: of the 500 characters that it may have, none takes more than five here. */
const mostCommand = 2500;
const mostLink = 2000;
const mostFact = 600;
const mostLabel = 40;

const signs: Readonly<Record<NoticeKind, string>> = {
  opened: ':rotating_light:',
  ongoing: ':warning:',
  resolved: ':white_check_mark:',
  event: ':information_source:',
};
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/**
 * Of the text that stands for the blocks in notifications: no markup, no links or mentions of what looks like one, and
 * no previews of pages.
 */
const asItIs = { mrkdwn: false, parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false } as const;

function escape(text: string): string {
  return text.replaceAll(/[&<>]/gu, (special) => entities[special] ?? special);
}

/** What is not ours must neither mention anybody nor make a link. */
function plain(text: string, max: number): string {
  return shorten(text, max, escape);
}

/**
 * n.b. unless it is verbatim, Slack makes links of what looks like an address and mentions of what looks like a name.
 */
function markup(text: string): Readonly<Record<string, unknown>> {
  return { type: 'mrkdwn', text, verbatim: true };
}

export function makeSlackMessage(notice: Notice): Readonly<Record<string, unknown>> {
  const facts = notice.facts.map(({ label, text }) => `*${plain(label, mostLabel)}:* ${plain(text, mostFact)}`);
  const links =
    notice.link === undefined || notice.link.length > mostLink
      ? []
      : [`<${escape(notice.link).replaceAll('|', '%7C')}|Show it in Nomad>`];
  const foot = [...links, ...(notice.time === undefined ? [] : [notice.time])];
  const sections = [
    `${signs[notice.kind]} *${plain(notice.sentence, mostFallback)}*`,
    ...(facts.length === 0 ? [] : [facts.join('\n')]),
    // A backquote would end the block of code. n.b. what stands for it must not be a quote to a shell.
    ...(notice.nextStep === undefined
      ? []
      : [`*Next:*\n\`\`\`${plain(notice.nextStep.replaceAll('`', 'ˋ'), mostCommand)}\`\`\``]),
  ];
  return {
    ...asItIs,
    text: plain(notice.sentence, mostFallback),
    blocks: [
      ...sections.map((text) => ({ type: 'section', text: markup(text.slice(0, mostBlockText)) })),
      ...(foot.length === 0 ? [] : [{ type: 'context', elements: [markup(foot.join(' · '))] }]),
    ],
  };
}

const hints: Readonly<Record<number, string>> = {
  403: 'the webhook or its workspace forbids it: make a new SINK_SLACK_WEBHOOK_URL',
  404: 'the webhook does not exist (any more): make a new SINK_SLACK_WEBHOOK_URL',
  410: 'the channel is archived: make a SINK_SLACK_WEBHOOK_URL for another one',
};

/**
 * What is wrong with the message is refused; what is wrong with the webhook or its channel is mended there and waits.
 */
export function judgeStatus(status: number): HttpVerdict {
  if (status >= 200 && status < 300) return 'taken';
  return status === 400 || status === 413 ? 'refused' : 'retry';
}

class SlackSink implements Sink {
  readonly #uiUrl: string | null;
  readonly #target: RequestTarget;
  readonly #client: HttpClient;

  constructor(values: SlackValues, context: SinkContext) {
    const { SINK_SLACK_WEBHOOK_URL: address, NOMAD_UI_URL: uiUrl } = values;
    this.#uiUrl = uiUrl;
    const { origin, pathname } = new URL(address);
    const target = makeTarget({ address });
    // The path of a webhook is its password, and so is its last word alone.
    const hidePath = makeHider([pathname, ...pathname.split('/').slice(2)]);
    this.#target = { ...target, shown: origin, hideSecrets: (said) => hidePath(target.hideSecrets(said)) };
    this.#client = new HttpClient(this.#target, readAccess(values, 'SINK_SLACK'), context);
  }

  connect(): Promise<void> {
    return this.#client.open();
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    return sendEach(batch, (message) => this.#say(message, signal));
  }

  /** Whether somebody answers: a webhook can do nothing but post. */
  async healthcheck(signal: AbortSignal): Promise<void> {
    const answer = await this.#client.send({ method: 'HEAD', url: new URL('/', this.#target.url).href, signal });
    expectAnybody(answer, { target: this.#target, what: 'a message' });
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #say(message: Message, signal: AbortSignal): Promise<void> {
    const body = encodeOrRefuse(() => Buffer.from(JSON.stringify(makeSlackMessage(makeNotice(message, this.#uiUrl)))));
    const answer = await this.#client.send({
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body,
      signal,
    });
    const failure = explainAnswer(judgeAnswer(answer, judgeStatus), answer, {
      target: this.#target,
      what: 'a message',
      hint: hints[answer.status],
    });
    if (failure !== undefined) throw failure;
  }
}

export const slackSink: SinkDefinition<typeof settings> = {
  type: 'slack',
  settings,
  ...chatDelivery,
  check: (values) => accessProblems(values, 'SINK_SLACK'),
  create: (values, context) => new SlackSink(values, context),
};
