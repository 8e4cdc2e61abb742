/**
 * Simulator → any other forwarder → local HTTP server: the load, the destination and the floor of the path
 * `standalone`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startShell } from './child.ts';
import { measureBareForwarder, startReceiver, type Receiver } from './destination.ts';
import { startLoad } from './load.ts';
import { pause, type Measurement, type Path } from './measure.ts';
import { whenRead } from './steady.ts';

export interface Forwarder {
  /** As it stands in the tables. */
  readonly label: string;
  /** A shell's; `{nomad}`, `{destination}` and `{folder}` are replaced. */
  readonly command: string;
}

const events = 100_000;
/** Who delivers nothing for so long will deliver nothing more: what is missing then it has lost, or holds. */
const silenceMs = 15_000;
const limitMs = 90_000;

interface Delivered {
  readonly events: number;
  readonly seconds: number;
}

/** Until all have arrived, nothing comes any more, or the time is over. */
async function watch(receiver: Receiver, startedAt: number): Promise<Delivered> {
  let delivered: Delivered = { events: 0, seconds: 0 };
  for (;;) {
    await pause(100);
    const [count, ms] = [await receiver.count(), performance.now() - startedAt];
    if (count > delivered.events) delivered = { events: count, seconds: ms / 1000 };
    if (count >= events || ms > limitMs || ms - delivered.seconds * 1000 > silenceMs) return delivered;
  }
}

async function measure({ label, command }: Forwarder): Promise<Measurement> {
  const [load, receiver] = await Promise.all([startLoad(events), startReceiver()]);
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-bench-'));
  const filled = command
    .replaceAll('{nomad}', load.url)
    .replaceAll('{destination}', receiver.url)
    .replaceAll('{folder}', folder);
  const forwarder = startShell(filled, {
    NOMAD_ADDR: load.url,
    NOMAD_NAMESPACE: '*',
    DESTINATION: receiver.url,
    BENCH_FOLDER: folder,
  });
  await whenRead(load).catch((error: unknown) => {
    throw new Error(`Expected ${label} to read the event stream; its log:\n${forwarder.log()}`, { cause: error });
  });
  const startedAt = performance.now();
  await load.begin();
  const delivered = await watch(receiver, startedAt);
  const [peak, cpu] = [await forwarder.peakMemory(), await forwarder.cpuSeconds()];
  await forwarder.stop();
  await Promise.all([load.stop(), receiver.stop()]);
  await rm(folder, { recursive: true, force: true });
  if (delivered.events !== events)
    process.stdout.write(
      `  ${label}: ${String(delivered.events)} of ${String(events)} events arrived within ${delivered.seconds.toFixed(1)} s\n`,
    );
  return {
    eventsPerSecond: delivered.events / delivered.seconds,
    peakMemory: { [label]: peak },
    cpuSecondsPer100k: (cpu / delivered.events) * 100_000,
  };
}

export function createAgainstPath(forwarder: Forwarder): Path {
  return {
    name: forwarder.label,
    target: 0,
    floorName: 'bare forwarder',
    measure: () => measure(forwarder),
    measureFloor: () => measureBareForwarder(events),
  };
}
