/** What an alert is known by, from its first announcement to its end. */
import { createHash } from 'node:crypto';

/** The loop and the crash that opened it: nothing else gives the same id, and a repeat always does. */
export function makeAlertId(loop: string, openedAtUs: number): string {
  return createHash('sha256').update(`${loop}\n${openedAtUs}`).digest('hex').slice(0, 32);
}
