/**
 * The simulator as a load generator in a process of its own: allocation events of the recording with fresh ids, one in
 * each frame, one of a hundred with its crashes, at a rate or as fast as they are read.
 */
import { startChild, type Child } from './child.ts';

export interface LoadOptions {
  /** Whether or not somebody reads. Without it: as fast as they are read. */
  readonly perSecond?: number;
  /** Size of each event. Without it: as recorded, 5.8 KB in the mean. */
  readonly eventBytes?: number;
  /** Frames that a reader may be behind. */
  readonly bufferSize?: number;
  /** The lists show what was played. */
  readonly isListed?: boolean;
}

export interface LoadState {
  /** Made so far. */
  readonly events: number;
  readonly finished: boolean;
  /** Streams that are open. */
  readonly clients: number;
}

export interface Load extends Child {
  readonly url: string;
  begin(): Promise<void>;
  pause(): Promise<void>;
  state(): Promise<LoadState>;
}

/** `total` may be Infinity. */
export async function startLoad(total: number, options: LoadOptions = {}): Promise<Load> {
  const { perSecond, eventBytes, bufferSize = 2000, isListed = false } = options;
  const args = [
    '--load',
    perSecond === undefined ? 'max' : String(perSecond),
    '--load-events-per-frame',
    '1',
    '--load-crash-percent',
    '1',
    '--writes',
    'joined',
    '--buffer-size',
    String(bufferSize),
    '--paused',
    '--port',
    '0',
    '--control-port',
    '0',
    ...(total === Infinity ? [] : ['--load-total', String(total)]),
    ...(eventBytes === undefined ? [] : ['--load-event-bytes', String(eventBytes)]),
    ...(isListed ? ['--lists', 'played'] : []),
  ];
  const child = startChild('simulator/dist/main.js', args);
  const line = await child.line((text) => text.includes('listens at'));
  const [, url, controlUrl] = /listens at (\S+), control at (http:\/\/[^/\s]+)/.exec(line) ?? [];
  if (url === undefined || controlUrl === undefined)
    throw new Error(`Expected the simulator to name its addresses, got: ${line}`);
  const act = async (action: string): Promise<void> => {
    const response = await fetch(`${controlUrl}/control/${action}`, { method: 'POST' });
    if (!response.ok)
      throw new Error(`Expected the simulator to ${action}, got ${String(response.status)} ${await response.text()}`);
  };
  return {
    ...child,
    url,
    begin: () => act('resume'),
    pause: () => act('pause'),
    state: async () => (await (await fetch(`${controlUrl}/control/state`)).json()) as LoadState,
  };
}
