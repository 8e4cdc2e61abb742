/**
 * `<service> doctor`: asks everything that the service needs whether it would work, and says so in one line each. It
 * looks at the same moment at all of them, through the service's own adapters, so that what is well here is well there.
 */
import type { Writable } from 'node:stream';
import type { Clock } from '../foundation/clock.ts';
import { describeError, HydrantError } from '../foundation/errors.ts';
import { makeTerminalSafe } from '../foundation/visible-text.ts';
import { expectNoArguments } from './arguments.ts';
import type { HealthCheck } from './admin/health.ts';
import type { Component } from './component.ts';
import type { Values, Schema } from './config/setting.ts';
import type { Command, ServiceContext } from './run-service.ts';

export interface Finding {
  readonly subject: string;
  readonly isWell: boolean;
  /** What was found and, unless all is well, what to do. Never a secret. */
  readonly detail: string;
}

export interface Examination {
  readonly subject: string;
  /** What to do when it gives no answer in time or fails with an error. */
  readonly advice: string;
  /** Closes what it opens, also when `signal` aborts. */
  examine(signal: AbortSignal): Promise<readonly Finding[]>;
}

export interface DoctorPorts {
  readonly out: Writable;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** For each examination; they run at once. */
  readonly limitMs?: number;
}

const defaultLimitMs = 20_000;
/** For those that do not listen to their signal. */
const graceMs = 3_000;
const pollMs = 50;

function formatFinding({ subject, isWell, detail }: Finding): string {
  return `${isWell ? 'ok  ' : 'FAIL'}  ${subject}: ${detail}`;
}

async function examineWithin(
  examination: Examination,
  { clock, signal, limitMs = defaultLimitMs }: DoctorPorts,
): Promise<readonly Finding[]> {
  const { subject, advice } = examination;
  const failed = (detail: string): readonly Finding[] => [{ subject, isWell: false, detail: `${detail}; ${advice}` }];
  const late = new AbortController();
  const ended = new AbortController();
  const text = `no answer within ${String(limitMs / 1000)} s`;
  const timer = clock.after(limitMs, () => {
    late.abort(new HydrantError(text, { code: 'doctor-late', retryable: true }));
  });
  const examined = examination
    .examine(AbortSignal.any([signal, late.signal]))
    .catch((thrown: unknown) => failed(describeError(thrown)));
  const abandoned = clock
    .sleep(limitMs + graceMs, AbortSignal.any([signal, ended.signal]))
    .then(() => failed(signal.aborted ? 'was not asked to the end' : text));
  try {
    return await Promise.race([examined, abandoned]);
  } finally {
    timer.cancel();
    ended.abort();
  }
}

/**
 * Writes a line for each finding, in the order of the examinations. Rejects with `doctor-findings` when one is not
 * well.
 */
export async function runDoctor(examinations: readonly Examination[], ports: DoctorPorts): Promise<void> {
  let all = 0;
  let unwell = 0;
  for (const examining of examinations.map((examination) => examineWithin(examination, ports))) {
    const findings = await examining;
    all += findings.length;
    unwell += findings.filter(({ isWell }) => !isWell).length;
    ports.out.write(findings.map((finding) => `${makeTerminalSafe(formatFinding(finding))}\n`).join(''));
  }
  if (unwell > 0)
    throw new HydrantError(
      `Expected all to be well, ${String(unwell)} of ${String(all)} are not: see the lines above`,
      { code: 'doctor-findings', retryable: true },
    );
}

/** Starts a component, waits until its checks pass or `signal` aborts, asks what `also` asks, and stops it. */
export function examineComponent(
  subject: string,
  component: Component,
  healthChecks: readonly HealthCheck[],
  options: {
    readonly advice: string;
    readonly clock: Clock;
    readonly also?: (signal: AbortSignal) => Promise<readonly Finding[]>;
  },
): Examination {
  const { advice, clock, also } = options;
  const unwell = (): HealthCheck | undefined =>
    healthChecks.find((healthCheck) => healthCheck.check().status === 'fail');
  async function look(signal: AbortSignal): Promise<readonly Finding[]> {
    while (unwell() !== undefined && !signal.aborted) await clock.sleep(pollMs, signal);
    const failing = unwell()?.check();
    if (failing !== undefined)
      return [{ subject, isWell: false, detail: `${failing.detail ?? 'is not ready'}; ${advice}` }];
    const details = healthChecks
      .map((healthCheck) => healthCheck.check().detail)
      .filter((detail) => detail !== undefined);
    return [{ subject, isWell: true, detail: details.join(', ') || 'answers' }, ...((await also?.(signal)) ?? [])];
  }
  return {
    subject,
    advice,
    async examine(signal) {
      try {
        await component.start(signal);
        return await look(signal);
      } finally {
        await component.stop(AbortSignal.abort());
      }
    },
  };
}

/** What the adapters say in their logs stands in the findings. */
function withoutLog(context: ServiceContext): ServiceContext {
  return { ...context, log: context.log.child({}, { level: 'silent' }) };
}

export function doctorCommand<S extends Schema>(
  examinations: (config: Values<S>, context: ServiceContext) => readonly Examination[],
): Command<S> {
  return {
    name: 'doctor',
    doc: 'Says of each thing that the service needs whether it works, one line each, and what to do where it does not; ends with 1 then.',
    run(config, context) {
      expectNoArguments('doctor', context.args);
      return runDoctor(examinations(config, withoutLog(context)), {
        out: process.stdout,
        clock: context.clock,
        signal: context.signal,
      });
    },
  };
}
