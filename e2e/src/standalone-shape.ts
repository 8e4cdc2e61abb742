/** The suite as one process with a folder. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceProcess } from './service-process.ts';
import type { Shape, ShapeOptions } from './shape.ts';

function makeConfig(options: ShapeOptions): string {
  const sinks = [
    ['[[sink]]', 'name = "http"', 'type = "http"', `SINK_HTTP_ADDRESS = "${options.collectorUrl}/events"`],
    ['[[sink]]', 'name = "alerts"', 'type = "http"', `SINK_HTTP_ADDRESS = "${options.collectorUrl}/alerts"`, 'bindings = ["crash-loop"]'],
  ].map((lines) => [...lines, 'SINK_HTTP_FORMAT = "ndjson"', 'SINK_BATCH_AGE = "100ms"', 'SINK_RETRY_MAX = "1s"']);
  if (options.s3 !== undefined) {
    const settings = Object.entries(options.s3).filter(([name]) => name.startsWith('SINK_'));
    sinks.push(['[[sink]]', 'name = "archive"', 'type = "s3"', ...settings.map(([name, value]) => `${name} = "${value}"`)]);
  }
  return `${sinks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

export async function startStandalone(options: ShapeOptions): Promise<Shape> {
  const directory = await mkdtemp(join(tmpdir(), 'hydrant-standalone-'));
  const configFile = join(directory, 'hydrant.toml');
  await writeFile(configFile, makeConfig(options));
  const others = Object.entries(options.s3 ?? {}).filter(([name]) => !name.startsWith('SINK_'));
  const standalone = await createServiceProcess('standalone', {
    ...Object.fromEntries(others),
    CONFIG_FILE: configFile,
    DATA_DIR: join(directory, 'data'),
    NOMAD_ADDR: options.nomadUrl,
    ...options.firehose,
    ...options.detector,
  });
  return {
    name: 'standalone',
    source: standalone,
    processes: [standalone],
    servers: [],
    start: () => standalone.start(),
    stop: async () => [await standalone.stop()],
    async close() {
      await standalone.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
