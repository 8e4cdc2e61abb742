/** What the command line of a service asks for. */
import { parseArgs } from 'node:util';
import { HydrantError, toError } from '../foundation/errors.ts';

export type Action = 'run' | 'help' | 'version' | 'check-config' | 'print-config';

export interface Arguments<C> {
  readonly action: Action;
  /** Undefined: the service itself. */
  readonly command: C | undefined;
  /** What stands behind the command's name, as it is. */
  readonly args: readonly string[];
}

const options = {
  help: { type: 'boolean' },
  version: { type: 'boolean' },
  'check-config': { type: 'boolean' },
  'print-config': { type: 'boolean' },
} as const;

const actions = ['help', 'version', 'print-config', 'check-config'] as const;

/** Throws a HydrantError `arguments-invalid`. */
export function readArguments<C extends { readonly name: string }>(args: readonly string[], commands: readonly C[]): Arguments<C> {
  const at = args.findIndex((argument) => !argument.startsWith('-'));
  const own = at === -1 ? args : args.slice(0, at);
  const values = parseOptions(own);
  const action = actions.find((name) => values[name] === true) ?? 'run';
  if (at === -1) return { action, command: undefined, args: [] };
  const command = commands.find(({ name }) => name === args[at]);
  if (command === undefined) {
    const known = commands.length === 0 ? 'no command' : `a command (${commands.map(({ name }) => `"${name}"`).join(', ')})`;
    throw invalid(`Expected options and ${known}, got "${args[at] ?? ''}"`);
  }
  return { action, command, args: args.slice(at + 1) };
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({ options, args: [...args] }).values;
  } catch (error) {
    throw invalid(toError(error).message);
  }
}

function invalid(message: string): HydrantError {
  return new HydrantError(`${message}; \`--help\` tells what there is`, { code: 'arguments-invalid', retryable: false });
}
