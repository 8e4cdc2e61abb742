/**
 * Keeps the stored checkpoint close behind what is confirmed: at most one save at a time and one each interval. A store
 * that does not answer holds nothing up; the newest checkpoint is saved when it is back.
 */
import { createBackoff, type Backoff } from '@hydrant/shared/foundation/backoff';
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { errorCode, toError } from '@hydrant/shared/foundation/errors';
import type { Checkpoint, CheckpointStore } from './checkpoint-store.ts';

export interface CheckpointTelemetry {
  checkpointLoaded(loaded: {
    readonly place: string;
    readonly index: number | undefined;
    readonly source: string | undefined;
  }): void;
  /** It is tried again until it can be read; said once. */
  checkpointUnreadable(failure: { readonly place: string; readonly err: Error }): void;
  checkpointSaved(index: number): void;
  /** It is tried again; said once until it works again. */
  checkpointSaveFailed(failure: { readonly place: string; readonly isFirst: boolean; readonly err: Error }): void;
  checkpointSaveResumed(place: string): void;
  /** Another process saves it now; this one never will again. */
  checkpointTakenOver(place: string): void;
}

export interface SaverPorts {
  readonly store: CheckpointStore;
  readonly telemetry: CheckpointTelemetry;
  readonly clock: Clock;
  /** What should be stored now; undefined while nothing is confirmed. */
  readonly current: () => Checkpoint | undefined;
}

const intervalMs = 250;
const finalSaveMs = 2_000;
/** When the deadline has passed: what a store that answers needs. */
const lateSaveMs = 300;

export class CheckpointSaver {
  readonly #ports: SaverPorts;
  readonly #backoff: Backoff = createBackoff({ minMs: intervalMs, maxMs: 5_000 });
  #timer: Timer | undefined;
  #saving: Promise<void> | undefined;
  #saved: Checkpoint | undefined;
  #retryAtMs = 0;
  #isFailing = false;
  #isTakenOver = false;

  constructor(ports: SaverPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#timer ??= this.#ports.clock.every(intervalMs, () => {
      if (this.#saving !== undefined || this.#ports.clock.monotonic() < this.#retryAtMs) return;
      this.#saving = this.#save().finally(() => {
        this.#saving = undefined;
      });
    });
  }

  /** Saves what there is a last time, for as long as `deadline` and a short limit allow. */
  async stop(deadline: AbortSignal): Promise<void> {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    const limit = new AbortController();
    const save = async (): Promise<void> => {
      await this.#saving;
      await this.#save();
    };
    await Promise.race([save(), this.#ports.clock.sleep(deadline.aborted ? lateSaveMs : finalSaveMs, limit.signal)]);
    limit.abort();
  }

  async #save(): Promise<void> {
    const { current, store, telemetry } = this.#ports;
    const checkpoint = current();
    if (
      checkpoint !== undefined &&
      (checkpoint.index !== this.#saved?.index || checkpoint.epoch !== this.#saved.epoch) &&
      !this.#isTakenOver
    ) {
      try {
        await store.save(checkpoint);
        this.#saved = checkpoint;
        telemetry.checkpointSaved(checkpoint.index);
        if (this.#isFailing) telemetry.checkpointSaveResumed(store.description);
        this.#isFailing = false;
        this.#backoff.reset();
      } catch (thrown) {
        this.#takeFailure(toError(thrown));
      }
    }
  }

  #takeFailure(err: Error): void {
    const { clock, store, telemetry } = this.#ports;
    if (errorCode(err) === 'checkpoint-taken-over') {
      this.#isTakenOver = true;
      telemetry.checkpointTakenOver(store.description);
      return;
    }
    telemetry.checkpointSaveFailed({ place: store.description, isFirst: !this.#isFailing, err });
    this.#isFailing = true;
    this.#retryAtMs = clock.monotonic() + this.#backoff.next();
  }
}
