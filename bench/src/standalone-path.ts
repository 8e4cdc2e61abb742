/**
 * Simulator → standalone (log on disk, HTTP sink, crash-loop detector) → local HTTP server, against a bare
 * line-splitting forwarder; batches of 500 in both.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureBareForwarder, startReceiver } from './destination.ts';
import { startLoad } from './load.ts';
import { secondsUntil, type Measurement, type Path } from './measure.ts';
import { freePort, startService } from './service.ts';

const events = 100_000;

async function measure(): Promise<Measurement> {
  const [load, receiver] = await Promise.all([startLoad(events), startReceiver()]);
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-bench-'));
  const configFile = join(folder, 'hydrant.toml');
  await writeFile(configFile, `[[sink]]\nname = "http"\ntype = "http"\nSINK_HTTP_ADDRESS = "${receiver.url}"\n`);
  const standalone = await startService('hydrant', await freePort(), {
    CONFIG_FILE: configFile,
    DATA_DIR: join(folder, 'data'),
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
  });
  const startedAt = performance.now();
  await load.begin();
  const seconds = await secondsUntil(events, startedAt, () => receiver.count());
  const [peak, cpu] = [await standalone.peakMemory(), await standalone.cpuSeconds()];
  await standalone.stop();
  await Promise.all([load.stop(), receiver.stop()]);
  await rm(folder, { recursive: true, force: true });
  return {
    eventsPerSecond: events / seconds,
    peakMemory: { standalone: peak },
    cpuSecondsPer100k: (cpu / events) * 100_000,
  };
}

export function createStandalonePath(): Path {
  return {
    name: 'standalone',
    target: 0.5,
    floorName: 'bare forwarder',
    measure,
    measureFloor: () => measureBareForwarder(events),
  };
}
