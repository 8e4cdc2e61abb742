/**
 * Streams on which nothing comes, or comes late, or that end early: what is our doing, what is Nomad's, and what
 * silence proves.
 */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { createFirehoseTelemetry } from '../telemetry.ts';
import { parseNomadAddress } from './address.ts';
import type { Denial } from './denial.ts';
import type { FoundGap } from './frame-receiver.ts';
import { createNomadClient } from './nomad-http-client.ts';
import { createStreamOpener } from './open-stream.ts';
import { createSource, type Source, type SourceOptions } from './source.ts';

const access = {
  token: null,
  tokenFile: null,
  httpAuth: null,
  caFile: null,
  caFolder: null,
  certFile: null,
  keyFile: null,
  serverName: null,
  skipVerify: false,
};

interface Stage {
  readonly source: Source;
  readonly answers: readonly ServerResponse[];
  readonly indexes: readonly number[];
  readonly gaps: readonly FoundGap[];
  readonly disproved: readonly number[];
  readonly logged: RecordingLog['lines'];
}

interface StageOptions extends Partial<SourceOptions> {
  readonly checkpoint?: number;
  readonly denial?: Denial;
  readonly leaderIndex?: number;
}

/** A source that reads from a Nomad whose answers the test writes. */
async function setStage(
  t: Test,
  answer: (response: ServerResponse, number: number) => void,
  {
    checkpoint,
    denial = { cause: 'lists-allowed', reason: 'every list is allowed' },
    leaderIndex,
    ...options
  }: StageOptions = {},
): Promise<Stage> {
  const stage = {
    answers: [] as ServerResponse[],
    indexes: [] as number[],
    gaps: [] as FoundGap[],
    disproved: [] as number[],
  };
  const server = createServer((_request, response) => {
    stage.answers.push(response);
    answer(response, stage.answers.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { log, lines: logged } = recordingLog();
  const source = createSource(
    {
      addresses: [parseNomadAddress(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`)].flatMap(
        (address) => address ?? [],
      ),
      start: 'oldest',
      retryMinMs: 1,
      retryMaxMs: 5,
      ...options,
    },
    {
      clock: systemClock,
      openStream: createStreamOpener(createNomadClient(access), { topics: ['*'], namespace: '*', region: '' }),
      probeDenial: () => Promise.resolve(denial),
      receiver: {
        streamOpened: () => undefined,
        beginAfter: () => undefined,
        rereadFrom: () => Promise.resolve(),
        gapFound: (gap) => {
          stage.gaps.push(gap);
        },
        gapDisproved: (index) => {
          stage.disproved.push(index);
        },
        receive: async (frames) => {
          for (const { index } of frames) stage.indexes.push(index);
        },
      },
      leaderIndex: () =>
        Promise.resolve(leaderIndex === undefined ? undefined : { index: leaderIndex, isComplete: true }),
      telemetry: createFirehoseTelemetry(log, createMetrics({ service: 'firehose', version: '0' }), systemClock),
    },
  );
  source.start(checkpoint === undefined ? undefined : { index: checkpoint, source: '' });
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await source.stop();
  });
  return { source, logged, ...stage };
}

function messages(logged: RecordingLog['lines'], start: string, level?: string): RecordingLog['lines'] {
  return logged.filter((line) => line.msg.startsWith(start) && (level === undefined || line.level === level));
}

function frame(index: number): string {
  return `{"Index":${String(index)},"Events":[{"Topic":"Job","Type":"T","Key":"web","Namespace":"default","FilterKeys":null,"Index":${String(index)},"Payload":{}}]}\n`;
}

function heads(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
}

t.test(
  'a stream without a line is closed by us, and says so; when every list is allowed it is waited for',
  async (t) => {
    const { answers, logged } = await setStage(t, heads, { firstLineMs: 60, livenessMs: 400 });

    await eventually(() =>
      messages(logged, 'The event stream broke').some(({ err }) => /proxy_buffering off/u.test(String(err))),
    );

    t.match(messages(logged, 'The event stream broke')[0]?.['err'], {
      code: 'nomad-silent',
      message: /within 0\.06 s of its answer, got none: closed the event stream$/u,
    });
    t.match(messages(logged, 'Closed an event stream'), [
      { level: 'warn', waitedSeconds: 0.06, nextSeconds: 0.4, msg: /no list is refused.*1\.1\.0.*buffers/u },
    ]);
    t.strictSame(messages(logged, 'Nomad ended'), [], 'it is not said that Nomad did it');
    t.ok(answers.length >= 2);
  },
);

t.test('a late first line is read, once it is known that no list is refused', async (t) => {
  const { indexes, logged } = await setStage(
    t,
    (response, number) => {
      heads(response);
      if (number > 1)
        systemClock.after(300, () => {
          response.write(`{}\n${frame(5)}`);
        });
    },
    { firstLineMs: 50, livenessMs: 5_000 },
  );

  await eventually(() => indexes.length === 1);

  t.equal(messages(logged, 'Closed an event stream').length, 1);
});

t.test('a stream without a line is a refusal when a list is refused, and is not waited for longer', async (t) => {
  const { answers, logged } = await setStage(t, heads, {
    firstLineMs: 40,
    livenessMs: 60_000,
    denial: { cause: 'refused', reason: 'the token may not read Job' },
  });

  await eventually(() => answers.length > 3);

  t.match(messages(logged, 'Nomad refuses'), [{ level: 'error', reason: 'the token may not read Job' }]);
  t.strictSame(messages(logged, 'Closed an event stream'), []);
});

t.test('the frame that was asked for cancels the gap that silence was taken for', async (t) => {
  const cases: Readonly<
    Record<
      string,
      {
        readonly late: string;
        readonly leaderIndex?: number;
        readonly gaps: readonly string[];
        readonly disproved: readonly number[];
        readonly indexes: readonly number[];
      }
    >
  > = {
    'that very frame': { late: frame(10) + frame(11), gaps: ['not-in-buffer'], disproved: [10], indexes: [10, 11] },
    'a later one': { late: frame(11), gaps: ['not-in-buffer'], disproved: [], indexes: [11] },
    'an earlier one of a server that lags': {
      late: frame(3) + frame(10) + frame(11),
      leaderIndex: 11,
      gaps: ['not-in-buffer'],
      disproved: [10],
      indexes: [10, 11],
    },
    'an earlier one of a cluster that was rebuilt': {
      late: frame(3),
      leaderIndex: 3,
      gaps: ['not-in-buffer', 'rebuilt'],
      disproved: [],
      indexes: [3],
    },
  };
  for (const [name, { late, leaderIndex, ...expected }] of Object.entries(cases)) {
    const { answers, gaps, disproved, indexes } = await setStage(
      t,
      (response) => {
        response.write('{}\n');
      },
      { checkpoint: 10, silenceMs: 50, ...(leaderIndex === undefined ? {} : { leaderIndex }) },
    );
    await eventually(() => gaps.length === 1);
    answers[0]?.write(late);
    await eventually(() => indexes.length === expected.indexes.length);

    t.strictSame({ gaps: gaps.map(({ reason }) => reason), disproved, indexes }, expected, name);
  }
});

t.test('a stream that stays behind after silence is read from its beginning, and disproves no gap', async (t) => {
  const { answers, gaps, disproved, indexes } = await setStage(
    t,
    (response, number) => {
      response.write(number === 1 ? '{}\n' : `{}\n${frame(3)}${frame(4)}`);
    },
    { checkpoint: 10, silenceMs: 50, catchUpMs: 0 },
  );
  await eventually(() => gaps.length === 1);
  answers[0]?.write(frame(3));
  await eventually(() => indexes.length === 2);

  t.strictSame(
    { gaps: gaps.map(({ reason }) => reason), disproved, indexes },
    { gaps: ['not-in-buffer', 'index-went-back'], disproved: [], indexes: [3, 4] },
  );
});

t.test('a frame that comes late, but before silence is taken for a gap, is none', async (t) => {
  const { indexes, gaps, disproved } = await setStage(
    t,
    (response) => {
      response.write('{}\n');
      systemClock.after(1_400, () => {
        response.write(frame(10));
      });
    },
    { checkpoint: 10 },
  );

  await eventually(() => indexes.length === 1);

  t.strictSame({ gaps, disproved }, { gaps: [], disproved: [] });
});

t.test('silence adds up over connections that are cut short', async (t) => {
  const { answers, gaps } = await setStage(
    t,
    (response) => {
      response.write('{}\n');
      systemClock.after(60, () => {
        response.end();
      });
    },
    { checkpoint: 10, silenceMs: 150 },
  );

  await eventually(() => gaps.length === 1);

  t.ok(answers.length >= 3);
});

t.test(
  'a stream that was well is opened again at once when it ends, and the likely timeout is named once',
  async (t) => {
    const opened: number[] = [];
    const { logged } = await setStage(
      t,
      (response) => {
        opened.push(systemClock.monotonic());
        response.write('{}\n');
        systemClock.after(1_050, () => {
          response.end();
        });
      },
      { retryMinMs: 60_000, retryMaxMs: 60_000 },
    );

    await eventually(() => opened.length === 6, { timeoutMs: 20_000 });

    const gaps = opened.slice(1).map((ms, at) => ms - (opened[at] ?? 0));
    t.ok(
      gaps.every((ms) => ms < 2_000),
      gaps.join(),
    );
    t.match(messages(logged, 'The event stream ends whenever it was quiet'), [
      { level: 'warn', seconds: 1, msg: /idle timeout above the 30 s/u },
    ]);
    t.equal(messages(logged, 'The event stream ended', 'info').length, 1, 'the rest is told at debug');
    t.equal(messages(logged, 'Reading the event stream', 'info').length, 2);
  },
);

t.test('a stream that ends as soon as it began is not opened again at once', async (t) => {
  const { answers, logged } = await setStage(
    t,
    (response) => {
      response.end('{}\n');
    },
    { retryMinMs: 60_000, retryMaxMs: 60_000 },
  );

  await eventually(() => messages(logged, 'The event stream ended').length === 1);

  t.ok(Number(messages(logged, 'The event stream ended')[0]?.['retryMs']) > 0);
  t.equal(answers.length, 1);
});

t.test('a Nomad that cannot be reached is told of once, and so is its return', async (t) => {
  let isAway = true;
  const { logged } = await setStage(
    t,
    (response) => {
      if (isAway) response.destroy();
      else response.write('{}\n');
    },
    { retryMaxMs: 20 },
  );

  await eventually(() => messages(logged, 'The event stream cannot be opened').length > 10);
  isAway = false;
  await eventually(() => messages(logged, 'Reading the event stream').length > 0);

  t.equal(messages(logged, 'The event stream cannot be opened', 'warn').length, 1);
  t.equal(messages(logged, 'Reading the event stream', 'info').length, 1);
});

t.test('a line without an end is given up soon, over and over', async (t) => {
  const limit = 64 * 1024;
  const { logged, gaps } = await setStage(
    t,
    (response) => {
      response.write(`{}\n${frame(5)}{"Index":6,"Events":[`);
      const chunk = Buffer.alloc(limit, 'x');
      const pump = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', pump);
      pump();
    },
    { maxLineBytes: limit, retryMaxMs: 20 },
  );

  await eventually(() =>
    messages(logged, 'The event stream broke').some(({ err }) => /without an end/u.test(String(err))),
  );

  t.match(messages(logged, 'A line of the stream is no frame, will read it again', 'error')[0], {
    kind: 'too-long',
    err: { code: 'line-too-long', message: /FIREHOSE_MAX_FRAME_BYTES/u },
  });
  t.match(gaps[0], { reason: 'malformed-line', since: 5 });
});
