/** Keeps the note in a file beside the spool's own. */
import { readFile } from 'node:fs/promises';
import { replaceFile } from '@hydrant/shared/spool/folder/atomic-file';
import { spoolUnavailable } from '@hydrant/shared/spool/spool-errors';
import type { SpoolNote, SpoolNoteStore } from './spool-note.ts';

function parseNote(text: string): SpoolNote | undefined {
  const note: unknown = JSON.parse(text);
  if (typeof note !== 'object' || note === null) return undefined;
  const { filter, isWhole, epoch = 0 } = note as Readonly<Record<string, unknown>>;
  return typeof filter === 'string' && typeof isWhole === 'boolean' && typeof epoch === 'number'
    ? { filter, isWhole, epoch }
    : undefined;
}

export function createFileSpoolNote({ path }: { readonly path: string }): SpoolNoteStore {
  let saved: string | undefined;
  return {
    async load() {
      try {
        return parseNote(await readFile(path, 'utf8'));
      } catch {
        // n.b. without a note reading goes on at the checkpoint: repeats, nothing worse.
        return undefined;
      }
    },
    async save({ filter, isWhole, epoch }) {
      const text = `${JSON.stringify({ filter, isWhole, epoch })}\n`;
      if (text === saved) return;
      await replaceFile(path, text).catch((thrown: unknown) => {
        throw spoolUnavailable(`Expected to write ${path}; make sure that the disk has space and takes writes`, thrown);
      });
      saved = text;
    },
  };
}
