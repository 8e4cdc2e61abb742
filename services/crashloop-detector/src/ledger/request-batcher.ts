/**
 * Sends requests together that arrive together: those of one turn of the event loop, and while batches are in flight,
 * those that come meanwhile.
 */
export interface RequestBatcherOptions<Request, Reply> {
  readonly maxBatchSize: number;
  readonly maxInFlight: number;
  /** Gives one reply for each request, in order; an Error rejects that request alone. */
  send(this: void, requests: readonly Request[]): Promise<readonly (Reply | Error)[]>;
}

interface Waiting<Request, Reply> {
  readonly request: Request;
  resolve(this: void, reply: Reply): void;
  reject(this: void, error: Error): void;
}

export class RequestBatcher<Request, Reply> {
  readonly #options: RequestBatcherOptions<Request, Reply>;
  #waiting: Waiting<Request, Reply>[] = [];
  #inFlight = 0;
  #isScheduled = false;

  constructor(options: RequestBatcherOptions<Request, Reply>) {
    this.#options = options;
  }

  /**
   * Resolves with the reply, rejects with its error or with what `send` rejects with. The number of waiting requests is
   * bounded by the callers.
   */
  add(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      if (this.#isScheduled || this.#inFlight === this.#options.maxInFlight) return;
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        this.#sendWaiting();
      });
    });
  }

  #sendWaiting(): void {
    const { maxBatchSize, maxInFlight } = this.#options;
    while (this.#waiting.length > 0 && this.#inFlight < maxInFlight) {
      this.#inFlight += 1;
      void this.#send(this.#waiting.splice(0, maxBatchSize));
    }
  }

  async #send(batch: readonly Waiting<Request, Reply>[]): Promise<void> {
    try {
      const replies = await this.#options.send(batch.map(({ request }) => request));
      if (replies.length !== batch.length) throw new Error(`Expected ${batch.length} replies, got ${replies.length}`);
      for (const [position, { resolve, reject }] of batch.entries()) {
        const reply = replies[position] as Reply | Error;
        if (reply instanceof Error) reject(reply);
        else resolve(reply);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#inFlight -= 1;
      this.#sendWaiting();
    }
  }
}
