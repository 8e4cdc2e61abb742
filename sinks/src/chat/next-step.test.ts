import { makeAlertMessage } from '@hydrant/shared/messages/alert-message';
import { makeNextStep } from '@hydrant/shared/messages/next-step';
import { runInBash } from '@hydrant/testing/bash';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { makePagerdutyEvent } from '../pagerduty.ts';
import { makeSlackMessage } from '../slack.ts';
import { makeNotice, type Notice } from './notice.ts';

const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

function noticeOf(nextStep: string): Notice {
  const message = makeAlertMessage(
    {
      lastEvent: JSON.stringify({ AllocationID: allocation, JobID: 'web', TaskName: 'server' }),
      eventLog: [],
      id: '0',
      status: 'opened',
      cluster: 'north',
      namespace: '$(shop)',
      count: 5,
      interval: '10m',
      reasons: [],
      exitCodes: [1],
      oomKilled: false,
      firstCrash: '',
      lineage: [allocation],
      nextStep,
    },
    { messageId: 'a/1', routingKey: 'crash-loop', timestampMs: 0 },
  );
  return makeNotice(message, null);
}

/** What stands in the block of code when somebody copies it. */
function copyFromSlack(notice: Notice): string | undefined {
  const { blocks } = makeSlackMessage(notice) as {
    readonly blocks: readonly { readonly text?: { readonly text: string } }[];
  };
  const [, code] = /```(.*)```/su.exec(blocks.map(({ text }) => text?.text ?? '').join('')) ?? [];
  return code?.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

function copyFromPagerduty(notice: Notice): unknown {
  const { payload } = makePagerdutyEvent(notice, { routingKey: 'k', severity: 'error' }) as {
    readonly payload: { readonly custom_details: Readonly<Record<string, unknown>> };
  };
  return payload.custom_details['Next'];
}

void t.test('the next step can be copied from a chat and means what it meant', (t) => {
  const tasks = [
    'server',
    'a;touch PWNED;$(touch PWNED2)',
    'a b\'c;d$(e)&"<i>`',
    '`touch PWNED`',
    "'`touch PWNED`'",
    '&'.repeat(200),
    '-help',
    'a\u202e\nb',
    '!!',
  ];
  const steps = tasks.map((task) => makeNextStep('shop', { allocation, task, exitCode: 1 }));
  const copied = steps.map((step) => copyFromSlack(noticeOf(step)) ?? '');

  t.same(copied, steps);
  t.same(
    steps.map((step) => copyFromPagerduty(noticeOf(step))),
    steps,
  );
  const { calls, strays } = runInBash(copied, { folder: testFolder(t, {}) });
  t.same(
    calls.map(([words]) => words?.at(-1)),
    tasks,
  );
  t.same(strays, []);
  t.end();
});

void t.test('a next step that could not be copied whole gives way to one that can', (t) => {
  for (const own of ["nomad alloc logs a '`id`'", 'nomad alloc logs a \u202e', 'x'.repeat(600)]) {
    const notice = noticeOf(own);
    t.equal(notice.nextStep, `nomad alloc status -namespace '$(shop)' ${allocation}`);
    t.equal(copyFromSlack(notice), notice.nextStep);
  }
  t.end();
});
