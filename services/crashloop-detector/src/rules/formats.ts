/** Kinds of values in rules and in the detector's settings that shared does not have. */
import { duration, type Format } from '@hydrant/shared/runtime/config/formats';

/** Milliseconds. */
export const positiveDuration: Format<number> = {
  ...duration,
  expected: `${duration.expected}, above zero`,
  parse(raw) {
    const ms = duration.parse(raw);
    return ms !== undefined && ms > 0 ? ms : undefined;
  },
};

/** Patterns of `compileGlob`; one of them must match. */
export const globs: Format<readonly string[]> = {
  name: 'globs',
  expected: 'a name or a list of names, in which `*` and `?` may stand for letters',
  parse(raw) {
    const patterns: unknown = typeof raw === 'string' ? [raw] : raw;
    return Array.isArray(patterns) && patterns.length > 0 && patterns.every(isPattern) ? patterns : undefined;
  },
};

function isPattern(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
