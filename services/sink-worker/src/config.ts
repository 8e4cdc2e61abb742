/** The settings of a sink-worker: its own, the delivery's, and those of the sink that SINK_TYPE names. */
import { deliveryProblems, deliverySettings, resolveDelivery } from '@hydrant/shared/delivery/delivery-settings';
import { amqpSettings, commonSettings, consumerSettings } from '@hydrant/shared/runtime/config/common-settings';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { findSink, unknownSinkProblem, type AnySink } from '@hydrant/sinks/registry';
import type { SinkWorkerOptions } from './sink-worker.ts';

export const sinkWorkerSettings = {
  ...commonSettings({ httpPort: 9402 }),
  ...amqpSettings,
  ...consumerSettings,
  ...deliverySettings,
} as const satisfies Schema;

/** Problems of a sink and of its delivery that their schemas alone cannot find. */
export function sinkProblems(type: string | undefined, values: Readonly<Record<string, unknown>>): readonly string[] {
  const definition = type === undefined ? undefined : findSink(type);
  return [...deliveryProblems(values), ...(definition?.check?.(values) ?? [])];
}

export function typeProblems(type: string | undefined, origin: string): readonly string[] {
  return type === undefined || findSink(type) !== undefined ? [] : [unknownSinkProblem(type, origin)];
}

/** Base settings plus those of the sink of that type, when there is one. */
export function withSinkSettings<S extends Schema>(base: S, type: string | undefined): S & Schema {
  return { ...base, ...(type === undefined ? {} : findSink(type)?.settings) };
}

export interface ResolvedSink {
  readonly definition: AnySink;
  readonly worker: SinkWorkerOptions;
}

type SinkValues = Values<typeof deliverySettings> & Values<typeof consumerSettings>;

/** Values as `loadConfig` gave them for a schema of `withSinkSettings`. */
export function resolveSink(values: SinkValues): ResolvedSink {
  const definition = findSink(values.SINK_TYPE);
  if (definition === undefined) throw new Error(unknownSinkProblem(values.SINK_TYPE, 'settings'));
  const delivery = resolveDelivery(values, definition, values as unknown as Values<Schema>);
  return {
    definition,
    worker: {
      queue: values.AMQP_QUEUE ?? `hydrant.sink.${delivery.name}`,
      bindings: values.AMQP_BINDINGS ?? definition.defaults.bindings ?? ['event.#'],
      delivery,
    },
  };
}
