/**
 * Reads a file that a setting such as CONFIG_FILE names, TOML or JSON, as one table. Knows nothing of what stands in
 * it.
 */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { describeError } from '../../foundation/errors.ts';

/**
 * `setting` is the one that names the file. Throws an Error whose message is a line for the user. It has no cause: the
 * parsers quote the file in theirs, and that may hold secrets.
 */
export function readTableFile(file: string, setting = 'CONFIG_FILE'): Readonly<Record<string, unknown>> {
  const content = readText(file, setting);
  const kind = extname(file).toLowerCase() === '.json' ? 'JSON' : 'TOML';
  let parsed: unknown;
  try {
    parsed = kind === 'JSON' ? JSON.parse(content) : parseToml(content);
  } catch (error) {
    throw new Error(
      `Expected \`${setting}\` to hold ${kind}, got "${file}" that cannot be read as such${findPlace(error, content)}`,
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error(`Expected \`${setting}\` to hold a table at the top, got "${file}" that does not`);
  return Object.fromEntries(Object.entries(parsed));
}

function readText(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(
      `Expected \`${setting}\` to name a TOML or JSON file that can be read, got "${file}": ${describeError(error)}`,
    );
  }
}

/** The place of the fault, as the parser tells it. */
function findPlace(error: unknown, content: string): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('line' in error && 'column' in error) return ` (line ${String(error.line)}, column ${String(error.column)})`;
  const offset = error instanceof Error ? /at position (\d+)/u.exec(error.message)?.[1] : undefined;
  return offset === undefined ? '' : ` (line ${String(content.slice(0, Number(offset)).split('\n').length)})`;
}
