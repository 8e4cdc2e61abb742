/**
 * The indexes of frames received lately: where a stream can begin again further back and still be seen to have no gap.
 */
export interface RecentIndexes {
  add(index: number): void;
  /** The newest that is not beyond `index`; undefined when it is too long ago. */
  atOrBefore(index: number): number | undefined;
}

/**
 * Keeps the newest `limit` of them. An index lower than the one before means another history: those before are
 * forgotten.
 */
export function createRecentIndexes(limit = 4096): RecentIndexes {
  let indexes: number[] = [];
  return {
    add(index) {
      const last = indexes.at(-1) ?? -1;
      if (index === last) return;
      if (index < last) indexes = indexes.filter((known) => known < index);
      indexes.push(index);
      if (indexes.length > 2 * limit) indexes = indexes.slice(-limit);
    },
    atOrBefore(index) {
      return indexes.findLast((known) => known <= index);
    },
  };
}
