/** Says once what is damaged or missing in a log, whoever comes by first, and keeps a copy of damaged bytes. */
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { Damage } from './segment-reader.ts';
import type { SetAside } from './set-aside.ts';

/** More different places are not remembered: then one may be reported twice. */
const maxRemembered = 10_000;

export class DamageLog {
  readonly #setAside: SetAside;
  readonly #log: Logger;
  readonly #reported = new Set<string>();
  #copying: Promise<void> = Promise.resolve();

  constructor(setAside: SetAside, log: Logger) {
    this.#setAside = setAside;
    this.#log = log;
  }

  damaged({ path: file, offset, bytes, from, to }: Damage, cursor: string): void {
    if (!this.#isNew(`${file} ${String(offset)}`)) return;
    // The reader sees the same as positions that are missing.
    this.#isNew(`${String(from)} ${String(to)}`);
    this.#copying = this.#copying.then(async () => {
      const place = { file, offset, bytes, from, to, cursor };
      try {
        const setAside = await this.#setAside.copy(file, offset, bytes);
        this.#log.error(
          { ...place, setAside },
          'Records in the log are damaged and cannot be delivered: a copy of the bytes was set aside',
        );
      } catch (thrown) {
        this.#log.error({ ...place, err: toError(thrown) }, 'Records in the log are damaged and cannot be delivered');
      }
    });
  }

  missing(
    { from, to, file }: { readonly from: number; readonly to: number; readonly file: string },
    cursor: string,
  ): void {
    if (this.#isNew(`${String(from)} ${String(to)}`))
      this.#log.error(
        { from, to, file, cursor },
        'Records are missing from the log: a segment was removed, or is damaged',
      );
  }

  /** Resolves when all that was reported is written. */
  close(): Promise<void> {
    return this.#copying;
  }

  #isNew(key: string): boolean {
    if (this.#reported.has(key)) return false;
    if (this.#reported.size < maxRemembered) this.#reported.add(key);
    return true;
  }
}
