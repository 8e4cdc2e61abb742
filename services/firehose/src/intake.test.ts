import { systemClock } from '@hydrant/shared/foundation/clock';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { createCheckpointTracker } from './checkpoint/tracker.ts';
import { Intake } from './intake.ts';
import { createFrameMessages } from './message/message-maker.ts';
import { createRedact } from './message/redact.ts';
import { createCompatMessages } from './nomad-firehose/compat-messages.ts';
import { createFirehoseTelemetry } from './telemetry.ts';

t.test(
  'a late frame disproves the gap that silence was taken for, but not the restored snapshot that its healing has found',
  async (t) => {
    const { log, lines } = recordingLog();
    const hasFound = (reason: string): boolean => lines.some((line) => line['reason'] === reason);
    const telemetry = createFirehoseTelemetry(log, createMetrics({ service: 'firehose', version: '0' }), systemClock);
    const spool = createMemorySpool({ maxBytes: 1_000_000 });
    await spool.open();
    const redact = createRedact([]);
    const answer = {
      body: Buffer.from('[{"ID":"web","Namespace":"default","ModifyIndex":650}]'),
      index: 700,
      nextToken: undefined,
    };
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const intake = new Intake(
      { cluster: 'default', topics: ['Job'], namespace: '*', region: '', start: 'oldest' },
      {
        messages: createFrameMessages({ cluster: 'default', region: 'global', redact }),
        compat: createCompatMessages([], 'default', telemetry),
        redact,
        spool,
        telemetry,
        tracker: createCheckpointTracker(),
        beforeFrames: () => Promise.resolve(),
        async fetchList() {
          if (hasFound('restored')) await held;
          return answer;
        },
        readWhole: () => Promise.resolve(undefined),
        isReading: () => true,
        jobsChanged: () => undefined,
        jobsAnew: () => undefined,
        clock: systemClock,
      },
    );
    t.teardown(() => intake.healer.stop());
    const filter = 'topics=Job namespace=* region=';
    intake.begin({ index: 960, filter, topicIndexes: { Job: 950 } }, filter);

    intake.gapFound({ reason: 'not-in-buffer', since: 0, fromIndex: 960, toIndex: undefined });
    await eventually(() => hasFound('restored'), { timeoutMs: 10_000 });
    intake.gapDisproved(960);
    release();
    await eventually(() => !intake.healer.isHealing);

    t.equal(spool.last, 1, 'what went back is published');
  },
);
