/**
 * A Nomad that plays a recording: event stream, lists and faults, wired together. What it does beyond what the
 * recordings and Nomad's own behaviour show is a bug in it.
 */
import { ControlServer, LOOPBACK } from './control-server.ts';
import { SimulatorControl, type SimulatorState } from './control.ts';
import { EventBuffer } from './event-buffer.ts';
import { Faults } from './faults.ts';
import type { Feed } from './feed.ts';
import { ListEndpoint } from './list-endpoint.ts';
import { Lists } from './lists.ts';
import { LoadGenerator } from './load-generator.ts';
import { NomadServer } from './nomad-server.ts';
import { resolveOptions, type ResolvedOptions, type SimulatorOptions } from './options.ts';
import { Permissions } from './permissions.ts';
import { PlayedLists } from './played-lists.ts';
import { Player } from './player.ts';
import { loadRecording, type Recording } from './recording.ts';
import { StreamEndpoint } from './stream-endpoint.ts';

const ANY_ADDRESS = '0.0.0.0';

export interface Simulator {
  /** For `NOMAD_ADDR`. */
  readonly url: string;
  readonly port: number;
  readonly controlUrl: string | undefined;
  readonly control: SimulatorControl;
  readonly state: SimulatorState;
  /** Resolves when the last frame has been given to the buffer (which readers may have yet to read). */
  readonly finished: Promise<void>;
  close(): Promise<void>;
}

/** Resolves when it listens; rejects when the recording is missing, an option is wrong or the port is taken. */
export async function startSimulator(input: SimulatorOptions = {}): Promise<Simulator> {
  const options = resolveOptions(input);
  const { clock, token, observer } = options;
  const recording = await loadRecording(options.recording);
  const played = options.lists === 'played' ? new PlayedLists() : undefined;
  const buffer = new EventBuffer(options.bufferSize, (frame) => {
    played?.show(frame);
    observer?.frameMade(frame);
  });
  const faults = new Faults();
  const permissions = new Permissions();
  const { promise: finished, resolve: onFinished } = makeSignal();

  const lists: Lists = new Lists(recording, () => feed.rewrite, played);
  const streams = new StreamEndpoint(
    {
      buffer,
      faults,
      permissions,
      clock,
      namespaces: () => lists.namespaceNames(),
      onOpened: (opened) => {
        observer?.streamOpened(opened);
      },
    },
    options,
    token,
  );
  const feed = createFeed(options, { recording, buffer, streams, onFinished });
  const server = new NomadServer({
    faults,
    streams,
    lists: new ListEndpoint({ lists, faults, permissions, clock }, token),
  });
  const control = new SimulatorControl({ buffer, faults, permissions, feed, lists, server, streams });

  await server.listen(options.host, options.port);
  const controlServer = await openControl(control, options.controlPort).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  feed.start();

  return {
    url: `http://${options.host === ANY_ADDRESS ? LOOPBACK : options.host}:${String(server.port)}`,
    port: server.port,
    controlUrl: controlServer === undefined ? undefined : `http://${LOOPBACK}:${String(controlServer.port)}`,
    control,
    get state() {
      return control.state;
    },
    finished,
    async close() {
      feed.stop();
      await Promise.all([server.close(), controlServer?.close()]);
    },
  };
}

interface FeedPorts {
  readonly recording: Recording;
  readonly buffer: EventBuffer;
  readonly streams: StreamEndpoint;
  readonly onFinished: () => void;
}

function createFeed(options: ResolvedOptions, ports: FeedPorts): Feed {
  const { recording, buffer, streams, onFinished } = ports;
  const { clock } = options;
  const player = new Player({ recording, buffer, clock, onFinished }, options);
  if (options.load === undefined) return player;
  const readersAtEnd = (): boolean => streams.readersAtEnd;
  const generator = new LoadGenerator(
    { recording, buffer, clock, rewrite: player.rewrite, readersAtEnd, onFinished },
    options.load,
    options.paused,
  );
  streams.onReaderAtEnd(() => {
    generator.readerIsAtEnd();
  });
  return generator;
}

async function openControl(control: SimulatorControl, port: number | undefined): Promise<ControlServer | undefined> {
  if (port === undefined) return undefined;
  const server = new ControlServer(control);
  await server.listen(port);
  return server;
}

function makeSignal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
