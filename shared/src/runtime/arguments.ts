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
  /** What the options of the service were given, by the settings that they stand for. */
  readonly settings: Readonly<Record<string, string>>;
}

/** An option of one service alone, `--<name> <value>`: another way to set a setting. */
export interface SettingOption {
  readonly name: string;
  readonly setting: string;
}

const options = {
  help: { type: 'boolean' },
  version: { type: 'boolean' },
  'check-config': { type: 'boolean' },
  'print-config': { type: 'boolean' },
} as const;

const actions = ['help', 'version', 'print-config', 'check-config'] as const;

/** Throws a HydrantError `arguments-invalid`. */
export function readArguments<C extends { readonly name: string }>(args: readonly string[], commands: readonly C[], settingOptions: readonly SettingOption[] = []): Arguments<C> {
  const at = args.findIndex((argument, index) => !argument.startsWith('-') && !settingOptions.some(({ name }) => args[index - 1] === `--${name}`));
  const own = at === -1 ? args : args.slice(0, at);
  const values = parseOptions(own, settingOptions);
  const action = actions.find((name) => values[name] === true) ?? 'run';
  const settings = Object.fromEntries(settingOptions.flatMap(({ name, setting }) => (typeof values[name] === 'string' ? [[setting, values[name]]] : [])));
  if (at === -1) return { action, command: undefined, args: [], settings };
  const command = commands.find(({ name }) => name === args[at]);
  if (command === undefined) {
    const known = commands.length === 0 ? 'no command' : `a command (${commands.map(({ name }) => `"${name}"`).join(', ')})`;
    throw invalid(`Expected options and ${known}, got "${args[at] ?? ''}"`);
  }
  return { action, command, args: args.slice(at + 1), settings };
}

function parseOptions(args: readonly string[], settingOptions: readonly SettingOption[]): Readonly<Record<string, unknown>> {
  const ofService = Object.fromEntries(settingOptions.map(({ name }) => [name, { type: 'string' as const }]));
  try {
    return parseArgs({ options: { ...options, ...ofService }, args: [...args] }).values;
  } catch (error) {
    throw invalid(toError(error).message);
  }
}

function invalid(message: string): HydrantError {
  return new HydrantError(`${message}; \`--help\` tells what there is`, { code: 'arguments-invalid', retryable: false });
}
