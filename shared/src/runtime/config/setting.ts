/**
 * How a service declares a setting. A schema is a flat record from the setting's name (which is its environment
 * variable and its key in CONFIG_FILE) to its declaration; `loadConfig` gives the values back under the same names,
 * typed.
 */
import type { Format } from './formats.ts';

export interface Setting<T> {
  /** One sentence, with the unit. */
  readonly doc: string;
  /** Reads and checks a value. */
  readonly format: Format<T>;
  /** In the form a user would write it (`5m`, `256MiB`), `null`: none. */
  readonly default: string | number | boolean | null;
  /** With `default: null`: the service does not start without it. */
  readonly required?: boolean;
  /** Masked everywhere; also read from the file that `<NAME>_FILE` names. */
  readonly sensitive?: boolean;
  /** Names a file that is, or goes with, a secret: it is not there where secrets are not. */
  readonly namesSecret?: boolean;
  readonly example?: string;
  /** Older names, read when the name itself is not set. */
  readonly aliases?: readonly string[];
}

export type Schema = Readonly<Record<string, Setting<unknown>>>;

/** Values by setting name. A setting without default that is not required may be null. */
export type Values<S extends Schema> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T>
    ? S[K]['default'] extends null
      ? S[K] extends { required: true }
        ? T
        : T | null
      : T
    : never;
};
