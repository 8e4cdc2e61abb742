/** Commands as a real bash takes them: the words of each, and a sign of anything else that ran. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

export interface BashOptions {
  /** An empty folder; whatever is in it afterwards was made by the commands. */
  readonly folder: string;
  /** As on a terminal, where `!` means something, too. Default false. */
  readonly isInteractive?: boolean;
  /** Default C.UTF-8. */
  readonly locale?: string;
}

export interface BashAnswer {
  /** By command, the arguments of `nomad`: one list for each time that it ran. */
  readonly calls: readonly (readonly (readonly string[])[])[];
  /** Files that were made, and programs that were called which do not exist. */
  readonly strays: readonly string[];
}

/** Runs all of them in one bash that knows no program but `nomad`, each on a line of its own. */
export function runInBash(
  commands: readonly string[],
  { folder, isInteractive = false, locale = 'C.UTF-8' }: BashOptions,
): BashAnswer {
  const script = [
    `PATH='${folder}'`,
    String.raw`nomad() { printf 'call\0%d\0' "$#"; [ $# -eq 0 ] || printf '%s\0' "$@"; }`,
    String.raw`command_not_found_handle() { printf 'stray\0%s\0' "$1"; }`,
    ...commands.flatMap((command) => [command, String.raw`printf 'next\0'`]),
    '',
  ].join('\n');
  const { stdout, status, error } = spawnSync('bash', ['--norc', '--noprofile', ...(isInteractive ? ['-i'] : [])], {
    cwd: folder,
    input: script,
    env: { PATH: process.env['PATH'], LC_ALL: locale, PS1: '', PS2: '' },
    maxBuffer: 256 * 1024 * 1024,
    timeout: 60_000,
  });
  if (error !== undefined && status === null) throw error;
  return readAnswer(stdout.toString(), readdirSync(folder), commands.length);
}

function readAnswer(text: string, files: readonly string[], expected: number): BashAnswer {
  const words = text.split('\0');
  const calls: string[][][] = [[]];
  const strays = [...files];
  let at = 0;
  while (at < words.length - 1) {
    const kind = words[at];
    if (kind === 'call') {
      const count = Number(words[at + 1]);
      calls.at(-1)?.push(words.slice(at + 2, at + 2 + count));
      at += 2 + count;
    } else if (kind === 'next') {
      calls.push([]);
      at += 1;
    } else {
      strays.push(words.slice(at, at + 2).join(' '));
      at += 2;
    }
  }
  if (calls.length !== expected + 1) strays.push(`${String(calls.length - 1)} of ${String(expected)} commands ended`);
  return { calls: calls.slice(0, expected), strays };
}
