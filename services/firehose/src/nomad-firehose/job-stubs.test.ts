import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordingFile } from '@hydrant/testing/recordings';
import t, { type Test } from 'tap';
import { writeJobListStub } from './payloads.ts';
import type { ListPatience } from '../lists/patience.ts';
import { createJobStubs, readJobStubs, type JobList, type JobStubs } from './job-stubs.ts';
import { parseJson } from './read-event.ts';

t.test('a stub is written byte for byte as nomad-firehose wrote it', async (t) => {
  const printed = (await readRecordingFile('nomad-firehose-parity', 'jobliststubs.out.ndjson.gz'))
    .toString()
    .trim()
    .split('\n');

  const written = printed.map((line) => writeJobListStub(parseJson(Buffer.from(line), 0, Buffer.byteLength(line))));

  t.equal(printed.length, 93);
  t.strictSame(written, printed);
});

t.test('the jobs of a list that changed are told of, and one that cannot be costs no other', async (t) => {
  const page = await readRecordingFile('crashing-cluster', 'jobs.json.gz');
  const listed = JSON.parse(page.toString()) as {
    readonly ID: string;
    readonly Namespace: string;
    readonly ModifyIndex: number;
    readonly SubmitTime: number;
  }[];
  const middle = listed.map(({ ModifyIndex }) => ModifyIndex).toSorted((a, b) => a - b)[5] ?? 0;
  const failures: Error[] = [];
  const failed = (err: Error): void => {
    failures.push(err);
  };

  t.equal(readJobStubs(page, 0, failed).length, listed.length);
  const stubs = readJobStubs(page, middle, failed);
  t.strictSame(
    stubs.map(({ identity }) => identity),
    listed
      .filter(({ ModifyIndex }) => ModifyIndex > middle)
      .map((job) => `jobliststubs/${job.Namespace}/${job.ID}/${String(job.ModifyIndex)}`),
  );
  t.match(
    stubs[0]?.body.toString(),
    /^\{"ID":"[^"]+","ParentID":"[^"]*","Name":.*"JobSummary":\{"JobID":.*"SubmitTime":\d{19}\}$/u,
  );
  t.equal(failures.length, 0);
  t.equal(
    readJobStubs(Buffer.from('[{"ID":"a","ModifyIndex":7,"Priority":"high"},{"ID":"b","ModifyIndex":7}]'), 0, failed)
      .length,
    1,
  );
  t.match(failures, [{ code: 'nomad-firehose-type' }]);
});

interface Setup {
  readonly stubs: JobStubs;
  readonly appended: string[];
  readonly failures: Error[];
  readonly givenUp: Error[];
  /** Answers the list that is being asked for. */
  readonly answer: (list: JobList | Error) => Promise<void>;
}

function setUp(t: Test, checkpoint?: number, patience?: ListPatience): Setup {
  const waiting: { resolve(list: JobList): void; reject(err: Error): void }[] = [];
  const appended: string[] = [];
  const failures: Error[] = [];
  const givenUp: Error[] = [];
  const stubs = createJobStubs({
    ...(patience === undefined ? {} : { patience }),
    listJobs: (signal) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
    append: (made) => {
      appended.push(...made.map(({ identity }) => identity));
      return Promise.resolve();
    },
    telemetry: {
      compatMade: () => undefined,
      compatFailed: () => undefined,
      jobListFailed: (err) => {
        failures.push(err);
      },
      jobListGivenUp: (err) => {
        givenUp.push(err);
      },
    },
    clock: { ...systemClock, sleep: () => systemClock.sleep(1) },
  });
  stubs.start(checkpoint);
  t.teardown(() => stubs.stop());
  return {
    stubs,
    appended,
    failures,
    givenUp,
    async answer(list) {
      const asked = await eventually(() => waiting.shift());
      if (list instanceof Error) asked?.reject(list);
      else asked?.resolve(list);
    },
  };
}

function listOf(index: number, ...jobs: readonly (readonly [string, number])[]): JobList {
  return {
    index,
    pages: [
      Buffer.from(
        JSON.stringify(jobs.map(([id, modifyIndex]) => ({ ID: id, Namespace: 'default', ModifyIndex: modifyIndex }))),
      ),
    ],
  };
}

t.test('a change is told of by the first list that has it, and the checkpoint waits before it', async (t) => {
  const { stubs, appended, answer } = setUp(t);
  t.equal(stubs.limit(20), 20);

  stubs.jobsChanged({ first: 12, last: 14, before: 11 });
  t.equal(stubs.limit(20), 11);
  t.equal(stubs.limit(10), 10);
  await answer(listOf(13, ['old', 5], ['a', 13]));
  stubs.jobsChanged({ first: 30, last: 30, before: 29 });
  await answer(listOf(16, ['old', 5], ['a', 13], ['b', 14], ['ahead', 16]));
  await eventually(() => stubs.limit(40) === 29);
  t.strictSame(appended, ['jobliststubs/default/a/13', 'jobliststubs/default/b/14', 'jobliststubs/default/ahead/16']);
  await answer(listOf(31, ['old', 5], ['a', 13], ['b', 30], ['ahead', 16]));

  await eventually(() => stubs.limit(40) === 40);
  t.strictSame(appended.slice(3), ['jobliststubs/default/b/30']);
});

t.test('a start begins at the checkpoint, whose own index may come once more', async (t) => {
  const { stubs, appended, answer } = setUp(t, 12);

  stubs.jobsChanged({ first: 12, last: 20, before: undefined });
  t.equal(stubs.limit(20), undefined, 'no checkpoint beyond the stored one');
  await answer(listOf(20, ['a', 11], ['b', 12], ['c', 20]));

  await eventually(() => stubs.limit(20) === 20);
  t.strictSame(appended, ['jobliststubs/default/b/12', 'jobliststubs/default/c/20']);
});

t.test('a list that cannot be read is said once, shown and tried again', async (t) => {
  const { stubs, appended, failures, answer } = setUp(t);
  const refusal = new HydrantError('Expected Nomad to answer 200', { code: 'nomad-refused', retryable: true });
  stubs.jobsChanged({ first: 12, last: 12, before: 11 });

  await answer(refusal);
  await answer(refusal);
  await eventually(() => stubs.healthCheck.check().status === 'fail');
  await answer(listOf(12, ['a', 12]));

  await eventually(() => stubs.limit(12) === 12);
  t.equal(failures.length, 1);
  t.equal(stubs.healthCheck.check().status, 'pass');
  t.equal(appended.length, 1);
});

t.test(
  'the checkpoint waits no longer for a list that is refused for good; what changed meanwhile is told of when it can be read',
  async (t) => {
    const { stubs, appended, failures, givenUp, answer } = setUp(t, undefined, { answeredMs: 0, passingMs: 600_000 });
    const refusal = new HydrantError('Expected Nomad to answer 200, got 403', {
      code: 'nomad-denied',
      retryable: true,
    });
    stubs.jobsChanged({ first: 12, last: 12, before: 11 });
    t.equal(stubs.limit(20), 11);

    await answer(refusal);
    await answer(refusal);

    await eventually(() => stubs.limit(20) === 20);
    t.strictSame([failures.length, givenUp.length], [1, 1]);
    t.match(stubs.healthCheck.check(), { status: 'fail', detail: /no job stubs are made.*403/u });
    stubs.jobsChanged({ first: 21, last: 21, before: 20 });
    await answer(listOf(21, ['a', 12], ['b', 21]));
    await answer(listOf(21, ['a', 12], ['b', 21]));
    await eventually(() => appended.length === 2);
    t.strictSame(appended, ['jobliststubs/default/a/12', 'jobliststubs/default/b/21']);
    t.equal(stubs.healthCheck.check().status, 'pass');
  },
);

t.test('a list that passes never is given up when jobs go on changing, and not when Nomad is away', async (t) => {
  const { stubs, givenUp, answer } = setUp(t, undefined, { answeredMs: 0, passingMs: 0 });
  const outage = new HydrantError('Cannot reach Nomad', { code: 'nomad-unreachable', retryable: true });
  stubs.jobsChanged({ first: 12, last: 12, before: 11 });
  await answer(outage);
  await answer(outage);
  t.strictSame([givenUp.length, stubs.limit(20)], [0, 11]);

  stubs.jobsChanged({ first: 15, last: 15, before: 14 });
  await answer(outage);

  await eventually(() => stubs.limit(20) === 20);
  t.equal(givenUp.length, 1);
});

t.test('when all began anew every job is told of, those of lower indexes too', async (t) => {
  const { stubs, appended, answer } = setUp(t, 500);

  stubs.beginAnew();
  stubs.jobsChanged({ first: 1, last: 9, before: 500 });
  await answer(listOf(9, ['a', 8], ['b', 9]));

  await eventually(() => appended.length === 2);
  t.strictSame(appended, ['jobliststubs/default/a/8', 'jobliststubs/default/b/9']);
});

t.test('a cluster that began anew is told of from its first change on', async (t) => {
  const { stubs, appended, answer } = setUp(t, 500);

  stubs.jobsChanged({ first: 9, last: 9, before: 500 });
  await answer(listOf(9, ['a', 8], ['b', 9]));

  await eventually(() => stubs.limit(9) === 9);
  t.strictSame(appended, ['jobliststubs/default/b/9']);
});

t.test('stopping leaves the checkpoint before what was not told', async (t) => {
  const { stubs } = setUp(t);
  stubs.jobsChanged({ first: 12, last: 12, before: 11 });

  await stubs.stop();

  t.equal(stubs.limit(12), 11);
});
