#!/usr/bin/env node
/**
 * The `hydrant-simulator` command: `node simulator/dist/main.js --help`.
 */
import { describeError, isRetryable } from '@hydrant/shared/foundation/errors';
import { helpText, readCommandLine } from './command-line.ts';
import type { SimulatorOptions } from './options.ts';
import { startSimulator } from './simulator.ts';

const EXIT_CONFIG = 78;

async function run(options: SimulatorOptions): Promise<void> {
  const simulator = await startSimulator(options);
  process.stdout.write(
    `Simulator of ${options.recording ?? ''} listens at ${simulator.url}, control at ${simulator.controlUrl ?? 'none'}/control/state\n`,
  );
  const stop = (): void => {
    simulator.close().catch((error: unknown) => {
      process.stderr.write(`${describeError(error)}\n`);
      process.exitCode = 1;
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // n.b. not awaited: a simulator that is stopped before its end never finishes.
  void simulator.finished.then(() => {
    process.stdout.write(
      `Simulator has played ${String(simulator.state.frames)} frames with ${String(simulator.state.events)} events\n`,
    );
  });
}

try {
  const command = readCommandLine(process.argv.slice(2), process.env);
  if (command.help) process.stdout.write(helpText());
  else await run(command.options);
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = isRetryable(error) ? 1 : EXIT_CONFIG;
}
