/**
 * One RabbitMQ node in a private folder with an epmd of its own, everything on the loopback address. RabbitMQ's own
 * programs are called directly: the distribution's wrappers change the user and write to /var.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findFreePorts } from './free-ports.ts';
import { makePrivateFolder, removePrivateFolder } from './private-folder.ts';
import { PrivateProcess } from './private-process.ts';
import { probe } from './probe.ts';
import { findRabbitMqFolder } from './requirements.ts';

export interface RabbitMqNodeOptions {
  /** Default none. */
  readonly plugins?: readonly string[];
  /** Threads of the Erlang machine, default 1. */
  readonly schedulers?: number;
  /** More lines for rabbitmq.conf. */
  readonly config?: readonly string[];
  /** A running node whose cluster it joins. That one's epmd serves both, so it is closed last. */
  readonly beside?: RabbitMqPlace;
}

/** Enough to find a running node again from another process: kept as node.json in its folder. */
export interface RabbitMqPlace {
  readonly folder: string;
  readonly programs: string;
  readonly port: number;
  readonly epmdPort: number;
  readonly distributionPort: number;
  readonly nodeName: string;
}

const protocolHeader = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');

/** A method frame (1) of class 10, method 10: Connection.Start. */
function isConnectionStart(bytes: Buffer): boolean {
  return bytes.length >= 11 && bytes[0] === 1 && bytes.readUInt16BE(7) === 10 && bytes.readUInt16BE(9) === 10;
}

/**
 * The listener answers some moments before the broker has recovered its queues; then it says that its start is
 * completed.
 */
async function isUp(port: number, readOutput: () => Promise<string>): Promise<boolean> {
  return (await readOutput()).includes('completed with') && (await probe(port, protocolHeader, isConnectionStart));
}

function environment(place: RabbitMqPlace, schedulers: number): Record<string, string> {
  const inFolder = (name: string): string => join(place.folder, name);
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LANG: 'C.UTF-8',
    HOME: inFolder('home'),
    ERL_EPMD_PORT: String(place.epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: place.nodeName,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(place.port),
    RABBITMQ_DIST_PORT: String(place.distributionPort),
    RABBITMQ_MNESIA_BASE: inFolder('mnesia'),
    RABBITMQ_LOG_BASE: inFolder('log'),
    RABBITMQ_PID_FILE: inFolder('rabbit.pid'),
    RABBITMQ_CONF_ENV_FILE: inFolder('none-env.conf'),
    RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('enabled_plugins'),
    RABBITMQ_GENERATED_CONFIG_DIR: inFolder('generated'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+S ${schedulers}:${schedulers} +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}`,
  };
}

/** Runs `rabbitmqctl` against the node and gives what it prints. */
export async function runRabbitMqCtl(place: RabbitMqPlace, args: readonly string[]): Promise<string> {
  const env = {
    ...environment(place, 1),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '',
    RABBITMQ_CTL_ERL_ARGS: '+S 1:1 +sbwt none',
  };
  const { stdout } = await promisify(execFile)(join(place.programs, 'rabbitmqctl'), ['--quiet', ...args], {
    env,
    timeout: 60_000,
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout;
}

/** Nodes know each other by it. Erlang makes it at the first start, for its owner alone. */
function cookie(place: RabbitMqPlace): string {
  return join(place.folder, 'home', '.erlang.cookie');
}

async function joinCluster(place: RabbitMqPlace, { nodeName }: RabbitMqPlace): Promise<void> {
  await runRabbitMqCtl(place, ['stop_app']);
  await runRabbitMqCtl(place, ['join_cluster', nodeName]);
  await runRabbitMqCtl(place, ['start_app']);
}

export async function readRabbitMqPlace(folder: string): Promise<RabbitMqPlace> {
  return JSON.parse(await readFile(join(folder, 'node.json'), 'utf8')) as RabbitMqPlace;
}

export class RabbitMqNode {
  readonly place: RabbitMqPlace;
  /** Undefined where that of another node serves. */
  readonly #epmd: PrivateProcess | undefined;
  readonly #server: PrivateProcess;

  private constructor(place: RabbitMqPlace, { schedulers = 1, beside }: RabbitMqNodeOptions) {
    this.place = place;
    const shared = { folder: place.folder, env: environment(place, schedulers) };
    this.#epmd =
      beside !== undefined
        ? undefined
        : new PrivateProcess({
            ...shared,
            name: 'epmd',
            command: 'epmd',
            args: ['-port', String(place.epmdPort), '-address', '127.0.0.1'],
            logFile: join(place.folder, 'epmd.log'),
            isReady: () => probe(place.epmdPort, Buffer.from([0, 1, 0x6e]), (bytes) => bytes.length >= 4),
            readyTimeoutMs: 5000,
            pollMs: 10,
          });
    this.#server = new PrivateProcess({
      ...shared,
      name: 'RabbitMQ',
      command: join(place.programs, 'rabbitmq-server'),
      args: [],
      logFile: join(place.folder, 'server.log'),
      isReady: (readOutput) => isUp(place.port, readOutput),
      readyTimeoutMs: 240_000,
      pollMs: 50,
    });
  }

  /** Boots a node (about 5 s); resolves when its start is completed and it answers an AMQP handshake. */
  static async boot(options: RabbitMqNodeOptions = {}): Promise<RabbitMqNode> {
    const programs = findRabbitMqFolder();
    if (programs === undefined)
      throw new Error(
        'Expected RabbitMQ to be installed, but rabbitmq-server was not found: install the package rabbitmq-server',
      );
    const folder = await makePrivateFolder('rabbitmq');
    const { beside } = options;
    const [port, distributionPort, ownEpmdPort] = (await findFreePorts(3)) as [number, number, number];
    const epmdPort = beside?.epmdPort ?? ownEpmdPort;
    const place = { folder, programs, port, distributionPort, epmdPort, nodeName: `hydrant${port}@localhost` };
    await Promise.all(['home', 'mnesia', 'log', 'generated'].map((name) => mkdir(join(folder, name))));
    await writeFile(join(folder, 'enabled_plugins'), `[${(options.plugins ?? []).join(',')}].\n`);
    await writeFile(
      join(folder, 'rabbitmq.conf'),
      ['loopback_users.guest = true', 'disk_free_limit.absolute = 50MB', ...(options.config ?? []), ''].join('\n'),
    );
    await writeFile(join(folder, 'node.json'), JSON.stringify(place));
    if (beside !== undefined) await copyFile(cookie(beside), cookie(place));
    const node = new RabbitMqNode(place, options);
    await node.#epmd?.start();
    await node.start();
    if (beside !== undefined) await joinCluster(place, beside);
    return node;
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  freeze(): void {
    this.#server.freeze();
  }

  thaw(): void {
    this.#server.thaw();
  }

  get pid(): number | undefined {
    return this.#server.pid;
  }

  async close(): Promise<void> {
    await this.#server.kill();
    await this.#epmd?.kill();
    await removePrivateFolder(this.place.folder);
  }
}
