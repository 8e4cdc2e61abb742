/**
 * Who may import whom, as lists: the layers of shared, the services, the homes of drivers and of time. ESLint's rules
 * are generated from them (eslint.config.js), and so is the proof that the rules bite (check-lint-bites.mjs).
 */

/** From the bottom up. A layer imports those before it; the folders of one layer do not import one another. */
export const sharedLayers = [
  ['foundation'],
  ['messages'],
  ['runtime'],
  ['spool', 'redis'],
  ['bus', 'state'],
  ['delivery'],
];

/** No service imports another, but for the one that is made of the others. */
export const services = ['firehose', 'sink-worker', 'crashloop-detector'];
export const serviceOfServices = 'standalone';

/** Packages that are there for tests, bench and demo: what ships does not import them. */
export const supportPackages = ['testing', 'simulator', 'e2e', 'bench'];

export const workspaces = [
  'shared',
  'sinks',
  ...[...services, serviceOfServices].map((name) => `services/${name}`),
  ...supportPackages,
];

/** The folders or files in which a library may be named. Everybody else goes through the port that stands there. */
export const driverHomes = {
  amqplib: ['shared/src/bus/amqp'],
  ioredis: ['shared/src/redis', 'sinks/src'],
  convict: ['shared/src/runtime/config'],
  'smol-toml': ['shared/src/runtime/config'],
  'prom-client': ['shared/src/runtime/telemetry/metrics.ts'],
  pino: ['shared/src/runtime/telemetry'],
  'pino-pretty': ['shared/src/runtime/telemetry'],
  fastify: ['shared/src/runtime/admin', 'services/crashloop-detector/src/page'],
  undici: ['services/firehose/src/source'],
  '@aws-sdk/*': ['sinks/src'],
};

/**
 * What keeps a port over RabbitMQ, Redis or the disk. In a service only main.ts chooses among them; standalone is such
 * a choice as a whole.
 */
export const adapterModules = [
  '@hydrant/shared/bus/amqp/*',
  '@hydrant/shared/bus/in-process/*',
  '@hydrant/shared/spool/*-spool',
  '@hydrant/shared/state/redis/*',
  '@hydrant/shared/state/file/*',
  '@hydrant/shared/redis/redis-client',
];

/** Where time, timers, the environment and the end of the process come from. */
export const timeHomes = ['shared/src/foundation/clock.ts'];
export const environmentHomes = [
  'shared/src/runtime/config/load-config.ts',
  'shared/src/runtime/run-service.ts',
  'sinks/src/aws/aws-client.ts',
];
export const exitHomes = ['shared/src/runtime/run-service.ts'];

export const testFiles = ['**/*.test.ts', '**/*-contract.ts'];

/** The `zones` of import-x/no-restricted-paths. Tests may look at the support packages, but keep every other border. */
export function makeZones({ forTests }) {
  const zones = [];
  for (const [height, layer] of sharedLayers.entries()) {
    for (const folder of layer) {
      const others = [...layer.filter((other) => other !== folder), ...sharedLayers.slice(height + 1).flat()];
      zones.push(
        ...others.map((other) =>
          makeZone(
            `shared/src/${folder}`,
            `shared/src/${other}`,
            `In shared, ${folder} stands below or beside ${other} and may not import it`,
          ),
        ),
      );
    }
  }
  for (const service of services) {
    for (const other of [...services, serviceOfServices].filter((name) => name !== service)) {
      zones.push(
        makeZone(
          `services/${service}`,
          `services/${other}`,
          'Services never import one another: they talk over the bus',
        ),
      );
    }
  }
  for (const lower of ['shared', 'sinks', 'testing', 'simulator'])
    zones.push(makeZone(lower, 'services', `${lower} stands below the services`));
  zones.push(makeZone('shared', 'sinks', 'shared stands below the sinks'));
  if (forTests) return zones;
  for (const shipped of ['shared', 'sinks', 'services']) {
    zones.push(...supportPackages.map((support) => makeZone(shipped, support, `${support} is imported by tests only`)));
  }
  zones.push(makeZone('simulator', 'testing', 'testing is imported by tests only'));
  return zones;
}

function makeZone(target, from, message) {
  return { target: `./${target}`, from: `./${from}`, message };
}

/** The drivers that may not be named in `place` (a path of driverHomes, or '' for everywhere else). */
export function foreignDrivers(place) {
  return Object.entries(driverHomes)
    .filter(([, homes]) => !homes.some((home) => place === home || place.startsWith(`${home}/`)))
    .map(([driver, homes]) => ({ driver, homes }));
}
