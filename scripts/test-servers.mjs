/**
 * RabbitMQ and Redis for the tests: found, or installed where that is allowed (Debian, as root), or a sentence that says what to do.
 * Installing starts no server: the tests start private ones themselves.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

const servicePolicy = '/usr/sbin/policy-rc.d';

function run(command, args) {
  process.stdout.write(`$ ${command} ${args.join(' ')}\n`);
  const { status } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  return status === 0;
}

function install(packages) {
  const isPolicyOurs = !existsSync(servicePolicy);
  // Debian's way to say: install, but start no service.
  if (isPolicyOurs) writeFileSync(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return run('apt-get', ['update', '-q']) && run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages]);
  } finally {
    if (isPolicyOurs) rmSync(servicePolicy, { force: true });
  }
}

/** True when the servers are there in the end. */
export async function provideTestServers() {
  const { missingRequirements } = await import('../testing/dist/requirements.js');
  const missing = missingRequirements();
  if (missing.length === 0) return true;
  process.stdout.write(`Missing for the tests: ${missing.map(({ name }) => name).join(', ')}\n`);
  const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (mayInstall && install(missing.map(({ debianPackage }) => debianPackage)) && missingRequirements().length === 0) return true;
  const why = mayInstall ? 'Installing did not work' : 'They are installed by themselves only for root on Debian or Ubuntu';
  process.stdout.write(`${why}. What to do:\n${missingRequirements().map(({ name, how }) => `  ${name}: ${how}`).join('\n')}\n`);
  return false;
}
