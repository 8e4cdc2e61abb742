/** Every destination, a line each. */
import type { SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { amqpSink } from './amqp.ts';
import { fileSink } from './file.ts';
import { httpSink } from './http.ts';
import { s3Sink } from './s3.ts';
import { stdoutSink } from './stdout.ts';

/** A definition whose own settings are not known here; `settings` says what `create` must be given. */
export type AnySink = SinkDefinition<Schema>;

const sinks: readonly AnySink[] = [
  httpSink,
  s3Sink,
  stdoutSink,
  fileSink,
  amqpSink,
];

export const sinkTypes: readonly string[] = sinks.map((sink) => sink.type);

export function findSink(type: string): AnySink | undefined {
  return sinks.find((sink) => sink.type === type || sink.aliases?.includes(type) === true);
}

/** What to say of a SINK_TYPE that is none. */
export function unknownSinkProblem(type: string, origin: string): string {
  return `Expected \`SINK_TYPE\` to be one of ${sinkTypes.join(', ')}, got "${type}" (${origin})`;
}
