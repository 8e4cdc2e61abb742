/** What a state store says when it cannot go on. */
import { HydrantError } from '../foundation/errors.ts';
import { stateFormat } from './state-store.ts';

export function newerFormat(found: number, where: string): HydrantError {
  const text =
    `Expected the state in ${where} to have at most the format ${stateFormat}, which this version of Hydrant knows, found the format ${found}: ` +
    'a newer version wrote it. Run that version again, or give this one a place of its own';
  // n.b. The same input is fine once the versions fit: events that cannot be recorded meanwhile must wait, not be
  // dead-lettered.
  return new HydrantError(text, { code: 'state-format-newer', retryable: true });
}
