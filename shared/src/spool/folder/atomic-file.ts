/**
 * Writes small files so that a reader, or a start after a crash, finds the old text or the new one and never a part.
 */
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes created, renamed and removed names in the folder outlive a power cut. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts `text` in the place of the file, for its owner alone. One call at a time per path. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}
