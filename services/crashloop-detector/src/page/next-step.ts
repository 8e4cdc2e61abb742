/** The command that shows more of a crash: for people to copy into a shell, so names from the cluster are quoted. */
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import { escapeCharacter, invisible } from './visible-text.ts';

/** A task that never started has no logs: then the allocation's events say why. */
export function makeNextStep(namespace: string, { allocation, task, exitCode }: Pick<CrashDetail, 'allocation' | 'task' | 'exitCode'>): string {
  const where = namespace === 'default' ? [] : ['-namespace', quote(namespace)];
  const words = exitCode === undefined ? ['status', ...where, quote(allocation)] : ['logs', ...where, '-stderr', quote(allocation), quote(task)];
  return ['nomad', 'alloc', ...words].join(' ');
}

/** As bash and zsh take it for one word, whatever is in it; what nobody could see, or what would turn the line around, is written as an escape. */
function quote(word: string): string {
  if (/^[\w@%+=:,./-]+$/u.test(word)) return word;
  if (!invisible.test(word)) return `'${word.replaceAll("'", String.raw`'\''`)}'`;
  const escaped = word.replaceAll(/['\\]/gu, String.raw`\$&`).replaceAll(new RegExp(invisible, 'gu'), escapeCharacter);
  return `$'${escaped}'`;
}
