/**
 * The command that shows more of a crash, for people to paste into a shell. The one place that writes it: names come
 * from whoever wrote the job, and are quoted here.
 */
import { quoteForShell } from '../foundation/shell-quote.ts';

export interface CrashedTask {
  readonly allocation: string;
  readonly task: string;
  /** Undefined: the task never started, or it is not known. */
  readonly exitCode?: number | undefined;
}

/** A command is shown whole or not at all: half of one may end inside a quotation. */
const longest = 500;

/**
 * A task that never started has no logs: then the allocation's events say why, as they do for a name that is too long
 * to be shown. Empty when even that would be too long.
 */
export function makeNextStep(namespace: string, { allocation, task, exitCode }: CrashedTask): string {
  const status = makeCommand('status', namespace, [], [allocation]);
  const command = exitCode === undefined ? status : makeCommand('logs', namespace, ['-stderr'], [allocation, task]);
  return [command, status].find((each) => each.length <= longest) ?? '';
}

/**
 * Whether a command that came in a message can be shown as it stands: one line, whole, without what a chat would change
 * in it.
 */
export function isShowable(command: string): boolean {
  return command.length <= longest && /^[\p{L}\p{N}\p{P}\p{S} ]+$/u.test(command) && !command.includes('`');
}

function makeCommand(verb: string, namespace: string, options: readonly string[], names: readonly string[]): string {
  // Names that begin like an option come behind the end of the options.
  const end = names.some((name) => name.startsWith('-')) ? ['--'] : [];
  return ['nomad', 'alloc', verb, ...namespaceOption(namespace), ...options, ...end, ...names.map(quoteForShell)].join(
    ' ',
  );
}

function namespaceOption(namespace: string): readonly string[] {
  if (namespace === 'default' || namespace === '') return [];
  return namespace.startsWith('-')
    ? [quoteForShell(`-namespace=${namespace}`)]
    : ['-namespace', quoteForShell(namespace)];
}
