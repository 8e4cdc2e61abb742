/** Sends requests together that arrive together: those of one turn of the event loop, and while others are on the way, those that come meanwhile. */
export interface BatchesOptions<Request, Reply> {
  readonly mostTogether: number;
  readonly mostUnderWay: number;
  /** Gives one reply for each request, in order. */
  send(this: void, requests: readonly Request[]): Promise<readonly Reply[]>;
}

interface Waiting<Request, Reply> {
  readonly request: Request;
  resolve(this: void, reply: Reply): void;
  reject(this: void, error: Error): void;
}

export class Batches<Request, Reply> {
  readonly #options: BatchesOptions<Request, Reply>;
  #waiting: Waiting<Request, Reply>[] = [];
  #underWay = 0;
  #isPlanned = false;

  constructor(options: BatchesOptions<Request, Reply>) {
    this.#options = options;
  }

  /** Resolves with the reply, rejects with what `send` rejects with. What waits is bounded by its callers. */
  add(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      if (this.#isPlanned || this.#underWay === this.#options.mostUnderWay) return;
      this.#isPlanned = true;
      setImmediate(() => {
        this.#isPlanned = false;
        this.#sendWaiting();
      });
    });
  }

  #sendWaiting(): void {
    const { mostTogether, mostUnderWay } = this.#options;
    while (this.#waiting.length > 0 && this.#underWay < mostUnderWay) {
      this.#underWay += 1;
      void this.#send(this.#waiting.splice(0, mostTogether));
    }
  }

  async #send(batch: readonly Waiting<Request, Reply>[]): Promise<void> {
    try {
      const replies = await this.#options.send(batch.map(({ request }) => request));
      if (replies.length !== batch.length) throw new Error(`Expected ${batch.length} replies, got ${replies.length}`);
      for (const [position, { resolve }] of batch.entries()) resolve(replies[position] as Reply);
    } catch (error) {
      for (const { reject } of batch) reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#underWay -= 1;
      this.#sendWaiting();
    }
  }
}
