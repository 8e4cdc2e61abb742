/** Every destination, a line each. */
import type { SinkDefinition } from '@hydrant/shared/delivery/sink';
import { findNearestName } from '@hydrant/shared/runtime/config/nearest-name';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { amqpSink } from './amqp.ts';
import { eventbridgeSink } from './eventbridge.ts';
import { fileSink } from './file.ts';
import { httpSink } from './http.ts';
import { kafkaSink } from './kafka.ts';
import { kinesisSink } from './kinesis.ts';
import { lokiSink } from './loki.ts';
import { mongodbSink } from './mongodb.ts';
import { natsSink } from './nats.ts';
import { nsqSink } from './nsq.ts';
import { pagerdutySink } from './pagerduty.ts';
import { redisSink } from './redis.ts';
import { s3Sink } from './s3.ts';
import { slackSink } from './slack.ts';
import { sqsSink } from './sqs.ts';
import { stdoutSink } from './stdout.ts';
import { syslogSink } from './syslog.ts';

/** A definition whose own settings are not known here; `settings` says what `create` must be given. */
export type AnySink = SinkDefinition<Schema>;

const sinks: readonly AnySink[] = [
  httpSink,
  s3Sink,
  stdoutSink,
  fileSink,
  amqpSink,
  redisSink,
  kafkaSink,
  natsSink,
  nsqSink,
  sqsSink,
  kinesisSink,
  eventbridgeSink,
  mongodbSink,
  syslogSink,
  lokiSink,
  slackSink,
  pagerdutySink,
];

/** Settings of every sink. */
export const allSinkSettings: Schema = Object.fromEntries(sinks.flatMap(({ settings }) => Object.entries(settings)));

export const sinkTypes: readonly string[] = sinks.map((sink) => sink.type);

export function findSink(type: string): AnySink | undefined {
  return sinks.find((sink) => sink.type === type || sink.aliases?.includes(type) === true);
}

/** What to say of a SINK_TYPE that is none. */
export function unknownSinkProblem(type: string, origin: string): string {
  const nearest = findNearestName(type, sinkTypes);
  return `Expected \`SINK_TYPE\` to be one of ${sinkTypes.join(', ')}, got "${type}" (${origin})${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`;
}
