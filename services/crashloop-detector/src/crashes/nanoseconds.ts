/** Times as Nomad writes them into JSON: whole nanoseconds since 1970, more than a JavaScript number holds. */
import { invalid, type RawObject } from './raw-object.ts';

/** The ledger counts microseconds in a double, which is exact until the year 2255. */
const latest = 9_000_000_000_000_000_000n;

/** Throws a permanent `event-invalid` when the field is no such time. */
export function nanoseconds(fields: RawObject, key: string): bigint {
  const value = fields.integer(key);
  if (value === undefined || value < 0n || value > latest)
    throw invalid(`\`${key}\` to be nanoseconds since 1970`, fields.raw(key));
  return value;
}

/** `otherwise` when the number is no time that a counter reaches. */
export function microsecondsOr<T>(us: number, otherwise: T): number | T {
  return us >= 0 && us * 1000 <= Number(latest) ? us : otherwise;
}
