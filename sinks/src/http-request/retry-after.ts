/** Reads how long a destination asks to be left alone. */

/** Milliseconds, from seconds or an HTTP date; undefined when there is nothing readable. `nowMs` is the server's own Date. */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  const value = Array.isArray(header) ? header[0] : header;
  if (value === undefined) return undefined;
  if (/^\d+$/u.test(value)) return Number(value) * 1000;
  // n.b. Date.parse makes a date of almost anything; one of HTTP begins with the day of the week.
  const wait = /^[A-Z][a-z]{2}/u.test(value) ? Date.parse(value) - nowMs : NaN;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
