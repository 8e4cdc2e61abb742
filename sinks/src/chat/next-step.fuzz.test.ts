import { makeAlertMessage } from '@hydrant/shared/messages/alert-message';
import { makeNextStep } from '@hydrant/shared/messages/next-step';
import { fuzz } from '@hydrant/testing/fuzz';
import { makeHostileWord } from '@hydrant/testing/hostile-words';
import t from 'tap';
import { makeSlackMessage } from '../slack.ts';
import { makeNotice } from './notice.ts';

const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

/** What stands in the block of code when somebody copies it. */
function copyFromSlack(message: unknown): string | undefined {
  const { blocks } = message as { readonly blocks: readonly { readonly text?: { readonly text: string } }[] };
  const texts = blocks.map(({ text }) => text?.text ?? '');
  const [, code] = /^\*Next:\*\n```(.*)```$/su.exec(texts.find((text) => text.startsWith('*Next:*')) ?? '') ?? [];
  return code?.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

void t.test('a command that is copied from Slack is the command of the alert', async (t) => {
  await fuzz(t, (random) => {
    for (let time = 0; time < 20; time += 1) {
      const nextStep = makeNextStep(makeHostileWord(random), {
        allocation,
        task: makeHostileWord(random),
        exitCode: 1,
      });
      const message = makeAlertMessage(
        {
          lastEvent: JSON.stringify({ AllocationID: allocation, JobID: 'web', TaskName: 'server' }),
          eventLog: [],
          id: '0',
          status: 'opened',
          cluster: 'north',
          namespace: 'shop',
          count: 5,
          interval: '10m',
          reasons: [],
          exitCodes: [1],
          oomKilled: false,
          firstCrash: '',
          lineage: [],
          nextStep,
        },
        { messageId: 'a/1', routingKey: 'crash-loop', timestampMs: 0 },
      );
      const copied = copyFromSlack(makeSlackMessage(makeNotice(message, null)));
      if (copied !== nextStep)
        throw new Error(`Expected ${JSON.stringify(nextStep)} to be copied from Slack, got ${JSON.stringify(copied)}`);
    }
  });
});
