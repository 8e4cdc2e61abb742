/** What the tests need beside Node: found or named, never installed here. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface MissingRequirement {
  readonly name: string;
  /** What a person can do about it, one sentence. */
  readonly how: string;
  /** The Debian package that brings it. */
  readonly debianPackage: string;
  /** Set where the tests that need it are skipped without it, and the others are run: which these are. */
  readonly skipped?: string;
}

const rabbitMqFolders = [
  '/usr/lib/rabbitmq/bin',
  '/opt/rabbitmq/sbin',
  '/usr/local/opt/rabbitmq/sbin',
  '/opt/homebrew/opt/rabbitmq/sbin',
];

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && isExecutable(join(folder, program)));
}

/** The folder of RabbitMQ's own programs (not the wrappers in /usr/sbin, which change the user and write to /var). */
export function findRabbitMqFolder(): string | undefined {
  const folders = [process.env['HYDRANT_TEST_RABBITMQ_BIN'] ?? '', ...rabbitMqFolders];
  return folders.find((folder) => folder !== '' && isExecutable(join(folder, 'rabbitmq-server')));
}

/** n.b. Debian puts it where the PATH of people does not look. */
export function findNatsServer(): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/local/bin',
    '/opt/homebrew/bin',
  ];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'nats-server'))
    .find(isExecutable);
}

/** Empty when every server that the tests start is there. */
export function missingRequirements(): readonly MissingRequirement[] {
  const missing: MissingRequirement[] = [];
  if (findRabbitMqFolder() === undefined || !isOnPath('epmd')) {
    missing.push({
      name: 'rabbitmq-server',
      how: 'Install it with "apt-get install --no-install-recommends rabbitmq-server", or set HYDRANT_TEST_RABBITMQ_BIN to the folder of its programs',
      debianPackage: 'rabbitmq-server',
    });
  }
  if (!isOnPath('redis-server')) {
    missing.push({
      name: 'redis-server',
      how: 'Install it with "apt-get install --no-install-recommends redis-server"',
      debianPackage: 'redis-server',
    });
  }
  if (findNatsServer() === undefined) {
    missing.push({
      name: 'nats-server',
      how: 'Install it with "apt-get install --no-install-recommends nats-server"',
      debianPackage: 'nats-server',
      skipped: 'the tests of the sink nats',
    });
  }
  return missing;
}
