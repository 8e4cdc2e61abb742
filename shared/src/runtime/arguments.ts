/** What the command line of a service asks for. */
import { parseArgs } from 'node:util';
import { HydrantError, toError } from '../foundation/errors.ts';
import { findNearestName } from './config/nearest-name.ts';

export type Action = 'run' | 'help' | 'version' | 'check-config' | 'print-config';

export interface Arguments<C> {
  readonly action: Action;
  /** Undefined: the service itself. */
  readonly command: C | undefined;
  /** What stands behind the command's name, without options for settings. */
  readonly args: readonly string[];
  /** What the options were given, by the settings that they stand for. */
  readonly settings: Readonly<Record<string, string>>;
  /** With `--check-config`: secrets may be missing. */
  readonly withoutSecrets: boolean;
}

/** `--<name> <value>`: another way to set a setting. Stands before a command or behind it. */
export interface SettingOption {
  readonly name: string;
  readonly setting: string;
}

const options = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  'check-config': { type: 'boolean' },
  'print-config': { type: 'boolean' },
  'no-secrets': { type: 'boolean' },
} as const;

const actions = ['help', 'version', 'print-config', 'check-config'] as const;
const helpWords: ReadonlySet<string> = new Set(['--help', '-h']);

interface Taken {
  readonly args: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
}

/** Throws a HydrantError `arguments-invalid`. */
export function readArguments<C extends { readonly name: string }>(
  given: readonly string[],
  commands: readonly C[],
  settingOptions: readonly SettingOption[] = [],
): Arguments<C> {
  const { args, settings } = takeSettings(given, settingOptions);
  const at = args.findIndex((argument) => !argument.startsWith('-'));
  const values = parseOptions(at === -1 ? args : args.slice(0, at));
  const withoutSecrets = values['no-secrets'] === true;
  if (withoutSecrets && values['check-config'] !== true)
    throw invalid('Expected `--no-secrets` together with `--check-config`');
  const action = actions.find((name) => values[name] === true) ?? 'run';
  const found = { action, command: undefined, args: [], settings, withoutSecrets } as const;
  if (at === -1) return found;
  const rest = args.slice(at + 1);
  if (args[at] === 'help')
    return { ...found, action: 'help', command: rest[0] === undefined ? undefined : findCommand(rest[0], commands) };
  const command = findCommand(args[at] ?? '', commands);
  return { ...found, action: asksForHelp(rest) ? 'help' : action, command, args: rest };
}

/** n.b. what stands behind `--` belongs to the command alone. */
function takeSettings(given: readonly string[], settingOptions: readonly SettingOption[]): Taken {
  const end = given.includes('--') ? given.indexOf('--') : given.length;
  const args: string[] = [];
  const settings: Record<string, string> = {};
  for (let at = 0; at < end; at += 1) {
    const argument = given[at] ?? '';
    const option = settingOptions.find(({ name }) => argument === `--${name}` || argument.startsWith(`--${name}=`));
    if (option === undefined) {
      args.push(argument);
      continue;
    }
    const isJoined = argument.includes('=');
    if (!isJoined) at += 1;
    const value = isJoined ? argument.slice(argument.indexOf('=') + 1) : at < end ? given[at] : undefined;
    if (value === undefined || value === '') throw invalid(`Expected a value behind \`--${option.name}\``);
    settings[option.setting] = value;
  }
  return { args: [...args, ...given.slice(end)], settings };
}

function findCommand<C extends { readonly name: string }>(word: string, commands: readonly C[]): C {
  const command = commands.find(({ name }) => name === word);
  if (command !== undefined) return command;
  const known =
    commands.length === 0 ? 'no command' : `a command (${commands.map(({ name }) => `"${name}"`).join(', ')})`;
  const nearest = findNearestName(
    word,
    commands.map(({ name }) => name),
  );
  throw invalid(
    `Expected options and ${known}, got "${word}"${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`,
  );
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end === -1 ? args.length : end).some((argument) => helpWords.has(argument));
}

function parseOptions(args: readonly string[]): Readonly<Record<string, unknown>> {
  try {
    return parseArgs({ options, args: [...args] }).values;
  } catch (error) {
    throw invalid(toError(error).message);
  }
}

/** For a command that takes no arguments. */
export function expectNoArguments(command: string, args: readonly string[]): void {
  if (args.length > 0) throw invalid(`Expected no arguments behind \`${command}\`, got "${args.join(' ')}"`);
}

function invalid(message: string): HydrantError {
  return new HydrantError(`${message}; \`--help\` tells what there is`, {
    code: 'arguments-invalid',
    retryable: false,
  });
}
