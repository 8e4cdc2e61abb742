/**
 * A Nomad dev agent of one's own for checks by hand: on the loopback address, on free ports, with ACLs on, in a folder
 * that goes away with it.
 */
import { execFile, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../../testing/dist/eventually.js';
import { findFreePorts } from '../../testing/dist/free-ports.js';
import { guardGroup } from '../../testing/dist/guardian.js';
import { makePrivateFolder, removePrivateFolder } from '../../testing/dist/private-folder.js';

/** NOMAD_BIN, or the `nomad` of PATH; undefined when neither runs. */
export async function findNomad() {
  const binary = process.env.NOMAD_BIN ?? 'nomad';
  const answer = await promisify(execFile)(binary, ['version']).catch(() => undefined);
  return answer === undefined ? undefined : { binary, version: answer.stdout.split('\n')[0] };
}

function configure({ folder, ports: [http, rpc, serf] }) {
  const host = '127.0.0.1';
  return JSON.stringify({
    name: 'smoke',
    bind_addr: host,
    advertise: { http: host, rpc: host, serf: host },
    disable_update_check: true,
    data_dir: folder,
    log_level: 'WARN',
    ports: { http, rpc, serf },
    acl: { enabled: true },
    server: { enabled: true, bootstrap_expect: 1, event_buffer_size: 5000 },
    client: {
      enabled: true,
      network_interface: 'lo',
      servers: [`${host}:${rpc}`],
      // n.b. the others ask the addresses at which clouds tell about their machines.
      options: { 'fingerprint.denylist': 'env_aws,env_azure,env_digitalocean,env_gce,consul,vault' },
    },
    plugin: [{ raw_exec: [{ config: [{ enabled: true }] }] }],
  });
}

export class NomadAgent {
  address;
  #binary;
  #folder;
  #token = '';
  #child;

  static async start(binary) {
    const agent = new NomadAgent();
    agent.#binary = binary;
    agent.#folder = await makePrivateFolder('n');
    const ports = await findFreePorts(3);
    agent.address = `http://127.0.0.1:${ports[0]}`;
    await writeFile(join(agent.#folder, 'agent.json'), configure({ folder: agent.#folder, ports }));
    await agent.launch();
    agent.#token = (await agent.request('POST', '/v1/acl/bootstrap')).SecretID;
    await eventually(async () => (await agent.request('GET', '/v1/nodes'))[0]?.Status === 'ready', {
      timeoutMs: 60_000,
      message: 'the agent to be a ready node',
    });
    return agent;
  }

  async launch() {
    const log = openSync(this.logFile, 'a');
    // n.b. not -dev: that one forgets everything when it is restarted.
    this.#child = spawn(this.#binary, ['agent', `-config=${join(this.#folder, 'agent.json')}`], {
      cwd: this.#folder,
      stdio: ['ignore', log, log],
      detached: true,
    });
    guardGroup(this.#child);
    const hasLeader = async () => (await (await fetch(`${this.address}/v1/status/leader`)).text()).includes(':');
    await eventually(hasLeader, { timeoutMs: 60_000, message: 'the agent to have a leader' }).catch((error) => {
      throw new Error(`${error.message}. Its log:\n${this.log.slice(-2000)}`);
    });
  }

  get logFile() {
    return join(this.#folder, 'agent.log');
  }

  get log() {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Of a management token: what a person who runs the jobs has. */
  get env() {
    return {
      PATH: process.env.PATH,
      HOME: this.#folder,
      NOMAD_ADDR: this.address,
      NOMAD_TOKEN: this.#token,
      NOMAD_BIN: this.#binary,
    };
  }

  async request(method, path, body) {
    const response = await fetch(`${this.address}${path}`, {
      method,
      headers: this.#token === '' ? {} : { 'x-nomad-token': this.#token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`Expected ${method} ${path} to be answered with 200, got ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Runs the command line; gives what it printed. */
  async cli(...args) {
    const { stdout } = await promisify(execFile)(this.#binary, args, { env: this.env, maxBuffer: 64 * 1024 ** 2 });
    return stdout;
  }

  /** Stops every job and waits until nothing of it runs: tasks of raw_exec outlive their agent. */
  async removeJobs() {
    if (this.#child === undefined) await this.launch();
    for (const { ID, Namespace } of await this.request('GET', '/v1/jobs?namespace=*'))
      await this.request('DELETE', `/v1/job/${ID}?namespace=${Namespace}`);
    await eventually(
      async () => {
        const all = await this.request('GET', '/v1/allocations?namespace=*');
        return all.every(({ ClientStatus }) => ['complete', 'failed', 'lost'].includes(ClientStatus));
      },
      { timeoutMs: 90_000, message: 'every task to end' },
    );
  }

  /** Ends the agent alone: its tasks go on. */
  async stop(signal = 'SIGTERM') {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    child.kill(signal);
    await ended;
  }

  async close() {
    await this.stop();
    // n.b. the folders of tasks are mounts, which an agent leaves when it ends.
    const mounts = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((place) => place.startsWith(`${this.#folder}/`));
    for (const mount of mounts.reverse()) await promisify(execFile)('umount', [mount]);
    await removePrivateFolder(this.#folder);
  }
}
