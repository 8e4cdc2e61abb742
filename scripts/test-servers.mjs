/**
 * The servers that the tests start: found, or installed where that is allowed (Debian, as root), or a sentence that
 * says what to do. Without RabbitMQ and Redis nothing is run; without another, the tests that need it are skipped.
 * Installing starts no server: the tests start private ones themselves.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

const servicePolicy = '/usr/sbin/policy-rc.d';

function run(command, args) {
  process.stdout.write(`$ ${command} ${args.join(' ')}\n`);
  const { status } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

function install(packages) {
  const isPolicyOurs = !existsSync(servicePolicy);
  // Debian's way to say: install, but start no service.
  if (isPolicyOurs) writeFileSync(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return (
      run('apt-get', ['update', '-q']) &&
      run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages])
    );
  } finally {
    if (isPolicyOurs) rmSync(servicePolicy, { force: true });
  }
}

/** True when the servers are there in the end without which nothing is run. */
export async function provideTestServers() {
  const { missingRequirements } = await import('../testing/dist/requirements.js');
  const missing = missingRequirements();
  if (missing.length === 0) return true;
  process.stdout.write(`Missing for the tests: ${missing.map(({ name }) => name).join(', ')}\n`);
  const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  // The needed ones by themselves: apt installs all that it is asked for or nothing.
  const [needed, others] = [
    missing.filter(({ skipped }) => skipped === undefined),
    missing.filter(({ skipped }) => skipped !== undefined),
  ];
  for (const group of [needed, others])
    if (mayInstall && group.length > 0) install(group.map(({ debianPackage }) => debianPackage));
  const left = missingRequirements();
  if (left.length === 0) return true;
  const why = mayInstall
    ? 'Installing did not work'
    : 'They are installed by themselves only for root on Debian or Ubuntu';
  process.stdout.write(
    `${why}. What to do:\n${left.map(({ name, how, skipped }) => `  ${name}: ${how}${skipped === undefined ? '' : `; ${skipped} are skipped without it`}`).join('\n')}\n`,
  );
  return left.every(({ skipped }) => skipped !== undefined);
}
