/** Finds the name that was probably meant. */
const defaultMost = 4;

/**
 * Undefined when none is near enough to be a slip of the keys: at most `most` letters, and half of them, are others.
 * Case does not count, but equal case comes first.
 */
export function findNearestName(name: string, names: Iterable<string>, most = defaultMost): string | undefined {
  let nearest: string | undefined;
  let least = Math.min(most, Math.floor(name.length / 2)) + 1;
  for (const other of names) {
    if (Math.abs(other.length - name.length) >= least) continue;
    const distance =
      measureDistance(name.toLowerCase(), other.toLowerCase()) + (other.startsWith(name.charAt(0)) ? 0 : 0.5);
    if (distance >= least) continue;
    nearest = other;
    least = distance;
  }
  return nearest;
}

/** How many letters must be added, taken away or changed to make `b` of `a`. */
function measureDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
