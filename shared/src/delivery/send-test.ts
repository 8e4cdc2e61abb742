/** `send-test`: one example to a sink, and what came back in a sentence. */
import { parseArgs } from 'node:util';
import type { Clock } from '../foundation/clock.ts';
import { describeError, HydrantError, toError } from '../foundation/errors.ts';
import { makeExampleAlert, makeExampleEvent } from '../messages/example-messages.ts';
import type { Message } from '../messages/message.ts';
import { judge } from './judge-failure.ts';
import type { Sink } from './sink.ts';
import { writeWithin } from './time-limit.ts';

export interface SendTestRequest {
  /** The end of the example alert in place of its beginning. */
  readonly isResolved: boolean;
  /** Names of sinks; none: all. */
  readonly sinks: readonly string[];
}

export const sendTestHelp = '  --resolved  the end of the example alert in place of its beginning';

/** Throws `arguments-invalid`. */
export function readSendTestRequest(args: readonly string[]): SendTestRequest {
  try {
    const { values, positionals } = parseArgs({
      options: { resolved: { type: 'boolean' } },
      args: [...args],
      allowPositionals: true,
    });
    return { isResolved: values.resolved === true, sinks: positionals };
  } catch (error) {
    throw new HydrantError(
      `${toError(error).message}; \`send-test\` knows \`--resolved\`, which sends the end of the example alert`,
      { code: 'arguments-invalid', retryable: false },
    );
  }
}

/** An alert where only alerts would come, an event everywhere else. */
export function chooseExample(bindings: readonly string[], isResolved: boolean, nowMs: number): Message {
  const isForAlerts = bindings.length > 0 && bindings.every((binding) => binding.startsWith('crash-loop'));
  return isForAlerts || isResolved
    ? makeExampleAlert(nowMs, isResolved ? 'resolved' : 'opened')
    : makeExampleEvent(nowMs);
}

export interface SendTestOptions {
  readonly name: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Resolves with the sentence when the destination has taken the example; throws it as `send-test-failed` otherwise.
 * Connects the sink and closes it.
 */
export async function sendTest(
  sink: Sink,
  example: Message,
  { name, timeoutMs, clock, signal }: SendTestOptions,
): Promise<string> {
  const limits = { timeoutMs, giveUp: signal, clock };
  const what = `the example ${example.type.startsWith('crash-loop') ? 'alert' : 'event'} ${example.id}`;
  const startedAt = clock.monotonic();
  try {
    await writeWithin((limit) => sink.connect(limit), limits);
    await writeWithin((limit) => sink.write([example], limit), limits);
    return `The sink ${name} took ${what} in ${(clock.monotonic() - startedAt).toFixed(0)} ms`;
  } catch (error) {
    throw failed(error, `The sink ${name} did not take ${what}`);
  } finally {
    await sink.close().catch(() => undefined);
  }
}

function failed(error: unknown, sentence: string): HydrantError {
  const verdict = judge(error);
  const isFinal =
    verdict.kind === 'refused' ||
    (verdict.kind === 'partial' && verdict.failures.every((failure) => !failure.retryable));
  const consequence = isFinal
    ? 'It refused it for good: such a message becomes a dead letter'
    : 'It may take it later: such a message is tried again';
  const reason = verdict.kind === 'partial' ? verdict.reason : describeError(error);
  return new HydrantError(`${sentence}. ${consequence}. What came back: ${reason}`, {
    code: 'send-test-failed',
    retryable: !isFinal,
  });
}
