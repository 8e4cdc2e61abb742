/** Reads how long a destination asks to be left alone. */

/** Milliseconds, from seconds or an HTTP date; undefined when there is nothing readable. `nowMs` is the server's own Date. */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  const value = Array.isArray(header) ? header[0] : header;
  if (value === undefined) return undefined;
  if (/^\d+$/u.test(value)) return Number(value) * 1000;
  const wait = Date.parse(value) - nowMs;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
