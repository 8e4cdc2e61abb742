/** The file `spool.json`: in which format the log is, and whose. It is written once, with the folder. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../foundation/errors.ts';
import { spoolForeign, spoolFormat, spoolUnlabelled } from '../spool-errors.ts';
import { replaceFile } from './atomic-file.ts';

const format = 2;

/**
 * Writes the label of a new folder. Throws `spool-format`, `spool-foreign`, or `spool-unlabelled` when segments lie
 * there without one.
 */
export async function checkLabel(dir: string, owner: string | undefined): Promise<void> {
  const path = join(dir, 'spool.json');
  const label = JSON.stringify({ format, owner });
  const found = readLabel(await readText(path));
  if (found === undefined) {
    if ((await readdir(dir)).some((name) => name.endsWith('.log'))) throw spoolUnlabelled(path, label);
    await replaceFile(path, `${label}\n`);
    return;
  }
  if (found.format !== format) throw spoolFormat(path, format, JSON.stringify(found.format ?? null).slice(0, 100));
  if (found.owner !== owner) throw spoolForeign(path, owner, found.owner);
}

/** Empty where there is no such file. */
async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return '';
    throw thrown;
  }
}

/** Undefined when it is none. */
function readLabel(text: string): { readonly format?: unknown; readonly owner?: string } | undefined {
  try {
    const label: unknown = JSON.parse(text);
    if (typeof label !== 'object' || label === null) return undefined;
    const { format: version, owner } = label as Readonly<Record<string, unknown>>;
    return typeof owner === 'string' ? { format: version, owner } : { format: version };
  } catch {
    return undefined;
  }
}
