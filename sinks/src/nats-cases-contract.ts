/** What the tests of nats share. */
import type { Sink, SinkPartialError } from '@hydrant/shared/delivery/sink';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { testLog } from '@hydrant/testing/test-log';
import type { Test } from 'tap';
import { natsSink } from './nats.ts';

export type Env = Readonly<Record<string, string>>;

export const never = new AbortController().signal;

export function load(env: Env) {
  return loadConfig(natsSink.settings, {
    env: { SINK_NATS_SERVERS: 'nats://127.0.0.1:4222', ...env },
    check: (values) => natsSink.check?.(values as Parameters<NonNullable<typeof natsSink.check>>[0]) ?? [],
  });
}

export function createSink(t: Test, url: string, env: Env = {}): Sink {
  const sink = natsSink.create(load({ SINK_NATS_SERVERS: url, ...env }), { log: testLog(), name: 'nats' });
  t.teardown(() => sink.close());
  return sink;
}

export async function openSink(t: Test, url: string, env: Env = {}): Promise<Sink> {
  const sink = createSink(t, url, env);
  await sink.connect(never);
  return sink;
}

export function failuresOf(writing: Promise<void>): Promise<SinkPartialError['failures']> {
  return writing.then(
    () => [],
    (thrown: unknown) => {
      if (errorCode(thrown) !== 'sink-partial') throw thrown;
      return (thrown as SinkPartialError).failures;
    },
  );
}
