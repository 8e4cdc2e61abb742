/** What a test can do to a server of its own, whichever it is. */
export interface ServerLevers {
  /** `kill -9`. */
  kill(): Promise<void>;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** On the same port, from the same folder: what was kept on disk is there again. */
  start(): Promise<void>;
  /** Connections stay open and nothing answers, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Of the running server's first process. */
  readonly pid: number | undefined;
}

/** `own` and the levers of `server`. */
export function withLevers<T extends object>(server: ServerLevers, own: T): ServerLevers & T {
  const levers: ServerLevers = {
    kill: () => server.kill(),
    stop: () => server.stop(),
    start: () => server.start(),
    freeze: () => {
      server.freeze();
    },
    thaw: () => {
      server.thaw();
    },
    get pid() {
      return server.pid;
    },
  };
  // n.b. a spread would read the process id now, once.
  return Object.assign(levers, own);
}
