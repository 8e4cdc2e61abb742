/**
 * Tells from the bytes alone whether an allocation event can prove a crash, so that the many that cannot are never
 * parsed. It may say yes to an event without a crash; it never says no to one that `extractCrashes` would find
 * something in.
 */

/** The end of both `"Restarting"` and `"Not Restarting"`. */
const restarting = Buffer.from('Restarting"');
/** A task that failed without either, such as one whose setup failed. Nomad writes no blanks between key and value. */
const failed = Buffer.from('"Failed":true');

/**
 * An allocation that took another's place tells whether a loop goes on there. Nomad leaves the field out where there is
 * none; objects from lists have the tracker instead.
 */
const replacing = [Buffer.from('"PreviousAllocation":"'), Buffer.from('"PrevAllocID":"')];

/** Whether the event can tell what became of a task that crashed before. Yes too where `mayHoldCrash` says yes. */
export function mayHoldStatus(body: Buffer): boolean {
  return mayHoldCrash(body) || replacing.some((mark) => body.includes(mark));
}

export function mayHoldCrash(body: Buffer): boolean {
  return body.includes(restarting) || body.includes(failed);
}
