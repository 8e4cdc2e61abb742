/** Writes what processes say into a file for each. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { ServiceProcess } from './service-process.ts';

/** To be called before the processes start; `close` when they have nothing more to say that matters. */
export function keepLogs(processes: ReadonlyMap<string, ServiceProcess>, folder: string): { close(): Promise<void> } {
  const files = [...processes].map(([name, process]) => {
    const file = createWriteStream(join(folder, `${name.replaceAll(' ', '-')}.log`));
    process.onOutput((text) => {
      if (!file.writableEnded) file.write(text);
    });
    return file;
  });
  return {
    async close() {
      for (const file of files) file.end();
      await Promise.all(files.map((file) => finished(file)));
    },
  };
}
