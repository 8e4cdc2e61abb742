/** The suite as one process with a folder. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceProcess, runCommand } from './service-process.ts';
import type { Shape, ShapeOptions } from './shape.ts';

function makeConfig(options: ShapeOptions): string {
  const http = { SINK_HTTP_FORMAT: 'ndjson', SINK_BATCH_AGE: '100ms', SINK_RETRY_MAX: '1s' };
  const sinks = [
    [
      '[[sink]]',
      'name = "http"',
      'type = "http"',
      ...writeSettings({ ...http, SINK_HTTP_ADDRESS: `${options.collectorUrl}/events`, ...options.sink }),
    ],
    [
      '[[sink]]',
      'name = "alerts"',
      'type = "http"',
      'bindings = ["crash-loop"]',
      ...writeSettings({ ...http, SINK_HTTP_ADDRESS: `${options.collectorUrl}/alerts` }),
    ],
  ];
  if (options.s3 !== undefined) {
    const settings = Object.entries(options.s3).filter(([name]) => name.startsWith('SINK_'));
    sinks.push(['[[sink]]', 'name = "archive"', 'type = "s3"', ...writeSettings(Object.fromEntries(settings))]);
  }
  return `${sinks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function writeSettings(settings: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(settings).map(([name, value]) => `${name} = "${value}"`);
}

export async function startStandalone(options: ShapeOptions): Promise<Shape> {
  const directory = await mkdtemp(join(tmpdir(), 'hydrant-standalone-'));
  const configFile = join(directory, 'hydrant.toml');
  await writeFile(configFile, makeConfig(options));
  const others = Object.entries(options.s3 ?? {}).filter(([name]) => !name.startsWith('SINK_'));
  const settings = {
    ...Object.fromEntries(others),
    CONFIG_FILE: configFile,
    DATA_DIR: join(directory, 'data'),
    NOMAD_ADDR: options.nomadUrl,
    ...options.firehose,
    ...options.detector,
  };
  const standalone = await createServiceProcess('standalone', settings);
  return {
    name: 'standalone',
    source: standalone,
    worker: standalone,
    detectors: [standalone],
    processes: [standalone],
    servers: [],
    start: () => standalone.start(),
    command: (...args) => runCommand('standalone', settings, args),
    redeliveries: () => Promise.resolve(undefined),
    stop: async () => [await standalone.stop()],
    async close() {
      await standalone.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
