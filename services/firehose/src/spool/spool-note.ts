/**
 * What is known of a spool that outlives the process, beside its records: what its frames were read with, and whether
 * they are all there. While a gap is being healed they are not: frames from after the gap are in it, and what was
 * missed is not yet. Nor are they while the stream is opened again further back.
 */
export interface SpoolNote {
  /** Topics, namespace and region of the frames. */
  readonly filter: string;
  /** False: reading goes on at the checkpoint, which has waited, or went back as well. */
  readonly isWhole: boolean;
  /** That of the frames' ids, see the checkpoint. */
  readonly epoch: number;
}

export interface SpoolNoteStore {
  /** Undefined when there is none that can be read. */
  load(): Promise<SpoolNote | undefined>;
  /**
   * Resolves when kept; to be called before the frames that it speaks of are appended. Saves nothing that it has saved
   * before. One call at a time.
   */
  save(note: SpoolNote): Promise<void>;
}
