/**
 * The simulator as a load generator in a process of its own: allocation events of the recording with fresh ids, one of a hundred with its crashes,
 * as fast as they are read.
 */
import { startChild, type Child } from './child.ts';

export interface Load extends Child {
  readonly url: string;
  begin(): Promise<void>;
}

export async function startLoad(total: number): Promise<Load> {
  const args = ['--load', 'max', '--load-total', String(total), '--load-events-per-frame', '1', '--load-crash-percent', '1', '--buffer-size', '2000', '--paused', '--port', '0', '--control-port', '0'];
  const child = startChild('simulator/dist/main.js', args);
  const line = await child.line((text) => text.includes('listens at'));
  const [, url, controlUrl] = /listens at (\S+), control at (http:\/\/[^/\s]+)/.exec(line) ?? [];
  if (url === undefined || controlUrl === undefined) throw new Error(`Expected the simulator to name its addresses, got: ${line}`);
  return {
    ...child,
    url,
    async begin() {
      const response = await fetch(`${controlUrl}/control/resume`, { method: 'POST' });
      if (!response.ok) throw new Error(`Expected the simulator to begin, got ${String(response.status)} ${await response.text()}`);
    },
  };
}
