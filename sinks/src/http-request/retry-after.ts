/** Reads how long a destination asks to be left alone. */

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const weekday = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
/**
 * The three of RFC 9110, 5.6.7. n.b. `Date.parse` makes a date of almost anything, and takes one without a zone for
 * local time.
 */
const forms = [
  new RegExp(
    `^${weekday}, (?<day>\\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) (?<time>\\d{2}:\\d{2}:\\d{2}) GMT$`,
    'u',
  ),
  new RegExp(
    `^${weekday}[a-z]*, (?<day>\\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\\d{2}) (?<time>\\d{2}:\\d{2}:\\d{2}) GMT$`,
    'u',
  ),
  new RegExp(
    `^${weekday} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) (?<time>\\d{2}:\\d{2}:\\d{2}) (?<year>\\d{4})$`,
    'u',
  ),
];

/**
 * Milliseconds, from seconds or an HTTP date; undefined when there is nothing readable. `nowMs` is the server's own
 * Date, or our clock where it tells none.
 */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  const value = (Array.isArray(header) ? header[0] : header)?.trim();
  if (value === undefined) return undefined;
  if (/^\d+$/u.test(value)) return Number(value) * 1000;
  const atMs = parseHttpDate(value, nowMs);
  return atMs === undefined ? undefined : Math.max(0, atMs - nowMs);
}

/** Milliseconds since 1970; undefined when it is none. `nowMs` says which century a year of two digits means. */
export function parseHttpDate(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  for (const form of forms) {
    const { day, month = '', year = '', time = '' } = form.exec(text)?.groups ?? {};
    if (day === undefined) continue;
    const [hours = 0, minutes = 0, seconds = 0] = time.split(':').map(Number);
    const atMonth = months.indexOf(month);
    return atMonth < 0
      ? undefined
      : Date.UTC(
          year.length === 2 ? fullYear(Number(year), nowMs) : Number(year),
          atMonth,
          Number(day),
          hours,
          minutes,
          seconds,
        );
  }
  return undefined;
}

/** What would be more than 50 years ahead is of the century before. */
function fullYear(year: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const guess = thisYear - (thisYear % 100) + year;
  return guess > thisYear + 50 ? guess - 100 : guess;
}
