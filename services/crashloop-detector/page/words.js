/** Numbers and times as people read them. Pure. */

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const format = new Intl.NumberFormat('en');

export function showNumber(value) {
  return format.format(value);
}

/** `1 task`, `1,000 tasks`. */
export function showCount(value, noun) {
  return `${showNumber(value)} ${noun}${value === 1 ? '' : noun.endsWith('sh') ? 'es' : 's'}`;
}

/** `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
function showSpan(ms) {
  if (ms < minute) return `${Math.round(ms / second)} s`;
  const [unit, name, part, partName] =
    ms < hour ? [minute, 'min', second, 's'] : ms < day ? [hour, 'h', minute, 'min'] : [day, 'd', hour, 'h'];
  const whole = Math.floor(ms / unit);
  const rest = Math.floor((ms % unit) / part);
  return rest === 0 ? `${whole} ${name}` : `${whole} ${name} ${rest} ${partName}`;
}

/** How often something happens that happens every `ms`. */
export function showPace(ms) {
  return ms >= second ? `every ${showSpan(ms)}` : `${Math.round(second / Math.max(1, ms))} per second`;
}

/** The coarse form, for what changes while one looks at it. */
export function showLength(ms) {
  if (ms < 2 * minute) return `${Math.round(ms / second)} s`;
  if (ms < 2 * hour) return `${Math.round(ms / minute)} min`;
  if (ms < 2 * day) return `${Math.round(ms / hour)} h`;
  return `${Math.round(ms / day)} d`;
}

export function showAgo(ms) {
  return ms < 2 * second ? 'just now' : `${showLength(ms)} ago`;
}

/** The time of day, and the date when it is not today's. */
export function showClock(ms, now) {
  const time = new Date(ms);
  const clock = time.toLocaleTimeString('en-GB');
  const isToday = time.toDateString() === new Date(now).toDateString();
  return isToday ? clock : `${time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock}`;
}

/** The first part of an id that is a UUID, as Nomad's commands take it; other ids whole. */
export function shortId(id) {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/u.test(id) ? id.slice(0, 8) : id;
}
