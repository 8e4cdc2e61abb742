/**
 * The jobs of deploy/nomad on an agent of one's own. What is changed is only what a machine without images or without a
 * network between containers and the loopback address asks for: the driver and the address of the admin server.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../testing/dist/eventually.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const services = ['firehose', 'sink-worker', 'crashloop-detector', 'standalone'];

/** `docker` where there is an engine with the images of `make image`; `raw_exec` and why otherwise. */
export function chooseDriver() {
  const { status, stdout } = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8' });
  if (status !== 0) return { driver: 'raw_exec', because: 'no Docker engine answers' };
  const missing = services
    .slice(0, 3)
    .filter(
      (service) =>
        spawnSync('docker', ['image', 'inspect', `hydrant-${service}:0.1.0`], { stdio: 'ignore' }).status !== 0,
    );
  if (missing.length > 0)
    return { driver: 'raw_exec', because: `the Docker engine lacks the images of ${missing.join(', ')} (make image)` };
  return { driver: 'docker', because: `Docker engine ${stdout.trim()}` };
}

function adapt(task, driver, service) {
  const env = { ...task.Env, HTTP_HOST: '127.0.0.1' };
  if (driver === 'docker') {
    const config = { ...task.Config, network_mode: 'host' };
    delete config.ports;
    return { ...task, Env: env, Config: config };
  }
  const main = `${root}services/${service}/dist/main.js`;
  return {
    ...task,
    Env: env,
    Driver: 'raw_exec',
    Config: { command: process.execPath, args: ['--max-semi-space-size=4', main] },
  };
}

/** Registers the job of a service; `variables` as `-var` takes them. Gives its id. */
export async function runService(agent, service, { driver, variables = {} }) {
  const options = Object.entries(variables).flatMap(([name, value]) => [
    '-var',
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
  const { Job: job } = JSON.parse(
    await agent.cli('job', 'run', '-output', ...options, `${root}deploy/nomad/${service}.nomad.hcl`),
  );
  for (const group of job.TaskGroups) group.Tasks = group.Tasks.map((task) => adapt(task, driver, service));
  await agent.request('POST', '/v1/jobs', { Job: job });
  return job.ID;
}

/** The newest allocation of each place that is to run. */
export async function allocationsOf(agent, job, namespace = 'default') {
  const all = await agent.request('GET', `/v1/job/${job}/allocations?namespace=${namespace}`);
  return all.filter(({ DesiredStatus }) => DesiredStatus === 'run');
}

/** Where the admin server of each allocation listens. */
export async function adminsOf(agent, job) {
  const registrations = await agent.request('GET', `/v1/service/${job}`);
  return registrations.map(({ Address, Port, AllocID }) => ({ allocation: AllocID, url: `http://${Address}:${Port}` }));
}

/** Waits until the job's newest deployment is successful: every check of every allocation passes. */
export async function untilDeployed(agent, job, timeoutMs = 180_000) {
  let seen;
  await eventually(
    async () => {
      seen = await agent.request('GET', `/v1/job/${job}/deployment`);
      if (seen?.Status === 'failed') throw new Error(seen.StatusDescription);
      return seen?.Status === 'successful';
    },
    { timeoutMs, message: `the deployment of ${job} to be successful` },
  );
  return seen.TaskGroups;
}

export async function logsOf(agent, job, type = 'stderr') {
  const texts = [];
  for (const { ID, TaskGroup } of await agent.request('GET', `/v1/job/${job}/allocations`)) {
    const response = await fetch(`${agent.address}/v1/client/fs/logs/${ID}?task=${TaskGroup}&type=${type}&plain=true`, {
      headers: { 'x-nomad-token': agent.env.NOMAD_TOKEN },
    });
    texts.push(response.ok ? await response.text() : `(${response.status} ${await response.text()})`);
  }
  return texts.join('');
}
