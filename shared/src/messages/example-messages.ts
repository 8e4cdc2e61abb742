/** One event and one alert that never happened, to try a destination with. They say so wherever a person would look. */
import { makeAlertMessage, type AlertStatus } from './alert-message.ts';
import { makeEventMessage } from './event-message.ts';
import type { Message } from './message.ts';
import { makeNextStep } from './next-step.ts';

const cluster = 'hydrant-test';
const job = 'hydrant-send-test';
const allocation = '00000000-0000-4000-8000-000000000000';
const name = `${job}.app[0]`;

export function makeExampleEvent(nowMs: number): Message {
  const body = {
    Topic: 'Job',
    Type: 'JobRegistered',
    Key: job,
    Namespace: 'default',
    FilterKeys: null,
    Index: 1,
    Payload: {
      Job: {
        ID: job,
        Name: job,
        Namespace: 'default',
        Type: 'service',
        Status: 'pending',
        StatusDescription: 'An example that Hydrant sent on request; there is no such job',
        SubmitTime: nowMs * 1_000_000,
        ModifyIndex: 1,
      },
    },
  };
  return makeEventMessage({
    cluster,
    region: 'default',
    index: 1,
    origin: 'stream',
    timestampMs: nowMs,
    id: `${cluster}/${String(nowMs)}/Job/default/${job}/0`,
    routingKey: `event.Job.JobRegistered.default.${job}`,
    topic: 'Job',
    type: 'JobRegistered',
    body: Buffer.from(JSON.stringify(body)),
  });
}

/** `opened` and `resolved` are of the same alert, so that an incident that the one opens is closed by the other. */
export function makeExampleAlert(nowMs: number, status: AlertStatus): Message {
  const time = new Date(nowMs).toISOString();
  const lastEvent = {
    AllocationID: allocation,
    EvalID: allocation,
    JobID: job,
    JobType: 'service',
    Namespace: 'default',
    Name: name,
    NodeID: allocation,
    NodeName: 'example',
    TaskGroup: 'app',
    TaskName: 'server',
    DesiredStatus: 'run',
    ClientStatus: 'running',
    TaskState: 'pending',
    TaskFailed: false,
    TaskRestarts: 5,
    TaskEvent: {
      Type: 'Restarting',
      Time: nowMs * 1_000_000,
      DisplayMessage: 'An example that Hydrant sent on request; nothing crashed',
      Details: { restart_reason: 'Restart within policy' },
    },
  };
  const routingKey = status === 'resolved' ? 'crash-loop-resolved' : 'crash-loop';
  return makeAlertMessage(
    {
      lastEvent: JSON.stringify(lastEvent),
      eventLog: [time],
      id: job,
      status,
      cluster,
      namespace: 'default',
      count: 5,
      interval: '10m',
      reasons: ['Restarting'],
      exitCodes: [1],
      oomKilled: false,
      firstCrash: time,
      lineage: [allocation],
      nextStep: makeNextStep('default', { allocation, task: 'server', exitCode: 1 }),
    },
    { messageId: `${job}/${String(nowMs)}/${status}`, routingKey, timestampMs: nowMs },
  );
}
