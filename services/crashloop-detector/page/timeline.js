/** The crashes of the window as bars, from an interval ago to now. One path per loop, so that a thousand stay cheap. */

const width = 600;
const height = 40;
const floor = 4;

/** The `d` of the bars: the right edge is now, a bar's height tells how many crashes its span holds. */
export function drawTimeline({ start, spanMs, counts }, intervalMs, now) {
  const from = now - intervalMs;
  const scale = width / intervalMs;
  const most = counts.reduce((highest, count) => Math.max(highest, count), 1);
  const bar = Math.max(2, spanMs * scale - 2);
  let path = '';
  for (const [at, count] of counts.entries()) {
    if (count === 0) continue;
    const x = Math.min((Date.parse(start) + at * spanMs - from) * scale, width - bar);
    if (x + bar <= 0) continue;
    const tall = Math.round(floor + (height - floor - 1) * (count / most));
    path += `M${Math.max(0, x).toFixed(1)} ${height}v-${tall}h${(bar + Math.min(0, x)).toFixed(1)}v${tall}z`;
  }
  return path;
}
