/** Starts a process again that ended by itself, as whatever runs services does, and remembers that it had to. */
import type { ServiceProcess } from '../service-process.ts';

export interface Ending {
  readonly process: string;
  readonly atMs: number;
  /** The last line of its log. */
  readonly lastWords: string;
}

export interface Supervisor {
  readonly endings: readonly Ending[];
  /** From now on, until `release`, somebody else starts and ends it. */
  hold(process: ServiceProcess): void;
  release(process: ServiceProcess): void;
  close(): void;
}

const lookMs = 500;

export function startSupervisor(processes: ReadonlyMap<string, ServiceProcess>, now: () => number): Supervisor {
  const endings: Ending[] = [];
  const held = new Set<ServiceProcess>();
  const timer = setInterval(() => {
    for (const [name, process] of processes) {
      if (held.has(process) || process.isRunning) continue;
      endings.push({ process: name, atMs: now(), lastWords: process.log().trimEnd().split('\n').at(-1) ?? '' });
      void process.start({ wait: false });
    }
  }, lookMs);
  return {
    endings,
    hold(process) {
      held.add(process);
    },
    release(process) {
      held.delete(process);
    },
    close() {
      clearInterval(timer);
    },
  };
}
