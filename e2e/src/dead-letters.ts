/** The dead letters of the sink that events go to, by the commands that people have for them. */
import type { Shape } from './shape.ts';

export interface ListedLetter {
  readonly id: string;
  readonly error: string;
  readonly attempts: number;
  readonly failedAt: string;
  readonly sink: string;
  readonly routingKey: string;
  readonly body: string;
}

const queue = 'hydrant.sink.http';

export async function listDeadLetters(shape: Shape): Promise<readonly ListedLetter[]> {
  const { code, output, log } = await shape.command(
    'dead-letters',
    'list',
    '--json',
    '--limit',
    '10000',
    '--queue',
    queue,
  );
  if (code !== 0) throw new Error(`Expected the list of dead letters, got exit code ${String(code)}: ${log}`);
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ListedLetter);
}

/** Resolves with what the command says. */
export async function replayDeadLetters(shape: Shape, ...filter: readonly string[]): Promise<string> {
  const { code, output, log } = await shape.command('dead-letters', 'replay', '--queue', queue, ...filter);
  if (code !== 0) throw new Error(`Expected the dead letters to be replayed, got exit code ${String(code)}: ${log}`);
  return output;
}
