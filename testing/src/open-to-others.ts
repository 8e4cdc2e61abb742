import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The folder and all within it that others than the owner may read, write or enter, with their modes; and what the
 * folder holds, so that a test sees that it looked at something.
 */
export async function findOpenToOthers(
  folder: string,
): Promise<{ readonly open: readonly string[]; readonly seen: readonly string[] }> {
  const seen = (await readdir(folder, { recursive: true })).sort();
  const open: string[] = [];
  for (const name of ['.', ...seen]) {
    const found = await stat(join(folder, name));
    const mode = found.mode & 0o777;
    if (mode !== (found.isDirectory() ? 0o700 : 0o600)) open.push(`${name} 0${mode.toString(8)}`);
  }
  return { open, seen };
}
