/** The latest of any number of times, or the highest of any number of numbers from 0 on; -1: there is none. */
export function latestOf(times: Iterable<number>): number {
  let latest = -1;
  for (const time of times) if (time > latest) latest = time;
  return latest;
}
