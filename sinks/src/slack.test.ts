import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { makeNotice, type Notice } from './chat/notice.ts';
import { judgeStatus, makeSlackMessage, slackSink } from './slack.ts';

const never = new AbortController().signal;
const ui = 'https://nomad.example';

function createSink(address: string): Sink {
  return slackSink.create(
    loadConfig(slackSink.settings, {
      env: { SINK_SLACK_WEBHOOK_URL: `${address}/services/T0/B0/secret-path`, NOMAD_UI_URL: ui },
    }),
    { log: testLog(), name: 'slack' },
  );
}

async function open(t: Test, address: string): Promise<Sink> {
  const sink = createSink(address);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

sinkContract(t, {
  name: 'slack',
  arrivesAs: (message) => JSON.stringify(makeSlackMessage(makeNotice(message, ui))),
  async create(t) {
    const said: string[] = [];
    const take = (request: ReceivedRequest): Reply => {
      if (request.method === 'POST') said.push(request.body.toString());
      return { status: 200, body: 'ok' };
    };
    const receiver = await startHttpReceiver(t, { answer: take });
    return {
      sink: createSink(receiver.url),
      arrived: () => said,
      breakDown: () => {
        receiver.answer(() => 'reset');
      },
      mend: () => {
        receiver.answer(take);
      },
      stall: () => {
        receiver.answer(() => 'hang');
      },
      refuse: () => {
        receiver.answer(() => ({ status: 400, body: 'invalid_payload' }));
      },
      refuseOne: (body) => {
        receiver.answer((request) =>
          request.body.toString() === body ? { status: 400, body: 'invalid_payload' } : take(request),
        );
      },
    };
  },
});

const notice: Notice = {
  kind: 'opened',
  sentence: 'Task server of job web is crash-looping: 5 crashes within 10m',
  id: 'a',
  type: 'crash-loop',
  cluster: 'north',
  time: '2026-05-06T07:08:09.000Z',
  facts: [
    { label: 'Where', text: 'cluster north' },
    { label: 'Why', text: 'exit code 17' },
  ],
  nextStep: 'nomad alloc logs -stderr a server',
  link: `${ui}/ui/allocations/a/server`,
};

void t.test('a message has a sentence, facts, the next step and a link', (t) => {
  const markup = (text: string): object => ({ type: 'mrkdwn', text, verbatim: true });
  const asItIs = { mrkdwn: false, parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false };
  t.same(makeSlackMessage(notice), {
    ...asItIs,
    text: notice.sentence,
    blocks: [
      { type: 'section', text: markup(`:rotating_light: *${notice.sentence}*`) },
      { type: 'section', text: markup('*Where:* cluster north\n*Why:* exit code 17') },
      { type: 'section', text: markup('*Next:*\n```nomad alloc logs -stderr a server```') },
      {
        type: 'context',
        elements: [markup(`<${ui}/ui/allocations/a/server|Show it in Nomad> · 2026-05-06T07:08:09.000Z`)],
      },
    ],
  });
  t.same(
    makeSlackMessage({ ...notice, kind: 'resolved', facts: [], nextStep: undefined, link: undefined, time: undefined }),
    {
      ...asItIs,
      text: notice.sentence,
      blocks: [{ type: 'section', text: markup(`:white_check_mark: *${notice.sentence}*`) }],
    },
  );
  t.end();
});

void t.test('what comes from Nomad neither mentions anybody nor grows beyond what Slack takes', (t) => {
  const hostile = '<!channel> & <https://evil.example|here> ``` '.repeat(300);
  const { text, blocks } = makeSlackMessage({
    ...notice,
    sentence: hostile,
    nextStep: hostile,
    link: `${ui}/|${'x'.repeat(5000)}`,
    facts: Array.from({ length: 4 }, () => ({ label: hostile, text: hostile })),
  }) as { readonly text: string; readonly blocks: readonly { readonly text?: { readonly text: string } }[] };
  const texts = [text, ...blocks.map((block) => block.text?.text ?? '')];

  for (const one of texts) {
    t.ok(one.length <= 3000, String(one.length));
    t.notMatch(one, /<!|<https:\/\/evil/u);
  }
  t.equal(texts[3]?.split('```').length, 3);
  const named = JSON.stringify(
    makeSlackMessage({
      ...notice,
      sentence: 'Task https://evil.example of job @channel\n*Next:* `rm`',
      nextStep: "nomad x 'a`b'",
    }),
  );
  t.match(
    named,
    /:rotating_light: \*Task https:\/\/evil\.example of job @channel \*Next:\* `rm`\*","verbatim":true/u,
    'a name stays on its line',
  );
  t.match(named, /nomad x 'aˋb'/u, 'what stands for a backquote ends no quoting');
  t.notMatch(
    JSON.stringify(makeSlackMessage({ ...notice, link: `${ui}/${'x'.repeat(5000)}` })),
    /Show it in Nomad/u,
    'a link that would be cut is left out',
  );
  t.end();
});

void t.test('the status decides', (t) => {
  const verdicts: Readonly<Record<string, readonly number[]>> = {
    taken: [200, 204],
    refused: [400, 413],
    retry: [302, 403, 404, 408, 410, 429, 500, 503],
  };
  for (const [verdict, statuses] of Object.entries(verdicts))
    for (const status of statuses) t.equal(judgeStatus(status), verdict, String(status));
  t.end();
});

void t.test('Retry-After is kept, and no error shows the webhook', async (t) => {
  const receiver = await startHttpReceiver(t, {
    answer: () => ({ status: 429, headers: { 'retry-after': '30' }, body: 'rate_limited' }),
  });
  const sink = await open(t, receiver.url);

  const limited = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  receiver.answer(() => ({ status: 404, body: 'no_service /services/T0/B0/secret-path' }));
  const gone = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  await receiver.close();
  const refused = await sink.write([makeSinkMessage(1)], never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );

  t.match(limited, { code: 'sink-retryable', retryAfterMs: 30_000 });
  t.match(gone, { code: 'sink-retryable', message: /got 404: no_service \*\*\* \(the webhook does not exist/u });
  t.match(refused, { code: 'sink-retryable', message: /to answer, got/u });
  for (const error of [limited, gone, refused])
    t.notMatch(`${String(error?.message)} ${String(error?.cause)}`, /secret-path/u);
});

void t.test('a name that no link can hold is sent all the same, and what follows it too', async (t) => {
  const receiver = await startHttpReceiver(t);
  const sink = await open(t, receiver.url);
  for (const id of ['"\\ud800"', '".."', '"a\\u0000b"']) {
    await sink.write(
      [
        makeSinkMessage(1, {
          body: Buffer.from(`{"Topic":"Job","Type":"JobRegistered","Payload":{"Job":{"ID":${id}}}}`),
        }),
      ],
      never,
    );
    await sink.write(
      [
        makeSinkMessage(1, {
          body: Buffer.from(`{"LastEvent":{"AllocationID":${id},"JobID":${id},"TaskName":${id}}}`),
        }),
      ],
      never,
    );
  }
  t.equal(receiver.requests.length, 6);
  t.match(receiver.requests[0]?.body.toString(), /<https:\/\/nomad\.example\/ui\/jobs\/%EF%BF%BD@default\|/u);
  t.notMatch(receiver.requests[3]?.body.toString(), /allocations\/\.\./u, 'no link leads elsewhere');
  t.notMatch(receiver.requests[5]?.body.toString(), /alloc status/u, 'no command of what is no id');
});

void t.test('alerts come one by one unless told otherwise', (t) => {
  t.match(slackSink, {
    defaults: { batchEvents: 1, bindings: ['crash-loop', 'crash-loop-resolved'] },
    maxConcurrency: 1,
  });
  t.end();
});
