/** The plan of faults: what a seed repeats, and what every plan has. */
import t from 'tap';
import { faultKinds, planFaults, shortestMs, type FaultTargets } from './plan-faults.ts';

const services: FaultTargets = {
  processes: ['firehose', 'sink-worker', 'crashloop-detector'],
  servers: ['RabbitMQ', 'Redis'],
  links: ['Nomad', 'RabbitMQ', 'Redis', 'destination'],
  hasDisk: true,
};
const standalone: FaultTargets = {
  processes: ['standalone'],
  servers: [],
  links: ['Nomad', 'destination'],
  hasDisk: false,
};
const minute = 60_000;

const plans = [
  { name: 'three services, shortest', durationMs: shortestMs, targets: services },
  { name: 'three services, ten minutes', durationMs: 10 * minute, targets: services },
  { name: 'standalone, shortest', durationMs: shortestMs, targets: standalone },
  { name: 'standalone, three minutes', durationMs: 3 * minute, targets: standalone },
];
const seeds = [0, 1, 7, 4_294_967_295];

for (const { name, durationMs, targets } of plans) {
  t.test(`${name}: the same seed gives the same plan, another one another`, (t) => {
    for (const seed of seeds)
      t.same(planFaults({ seed, durationMs, targets }), planFaults({ seed, durationMs, targets }));
    t.equal(new Set(seeds.map((seed) => JSON.stringify(planFaults({ seed, durationMs, targets })))).size, seeds.length);
    t.end();
  });

  t.test(`${name}: every kind that has a target occurs, within the time and in order`, (t) => {
    for (const seed of seeds) {
      const plan = planFaults({ seed, durationMs, targets });
      const expected = faultKinds.filter(
        (kind) =>
          (targets.servers.length > 0 || !kind.startsWith('server-')) && (targets.hasDisk || kind !== 'disk-full'),
      );
      t.same([...new Set(plan.map(({ kind }) => kind))].sort(), [...expected].sort());
      t.ok(plan.every(({ atMs }) => atMs >= 5_000 && atMs < durationMs));
      t.same(
        plan.map(({ atMs }) => atMs),
        plan.map(({ atMs }) => atMs).sort((left, right) => left - right),
      );
    }
    t.end();
  });

  t.test(`${name}: no target has two faults at once`, (t) => {
    for (const seed of seeds) {
      const freeAtMs = new Map<string, number>();
      for (const { atMs, target, forMs } of planFaults({ seed, durationMs, targets })) {
        t.ok(atMs >= (freeAtMs.get(target) ?? 0), `${target} at ${String(atMs)}`);
        freeAtMs.set(target, atMs + forMs);
      }
    }
    t.end();
  });
}

t.test('every target is hit in ten minutes', (t) => {
  const hit = new Set(
    planFaults({ seed: 3, durationMs: 10 * minute, targets: services }).map(({ kind, target }) => `${kind} ${target}`),
  );

  for (const process of services.processes) for (const kind of ['kill', 'freeze']) t.ok(hit.has(`${kind} ${process}`));
  for (const server of services.servers)
    for (const kind of ['server-restart', 'server-kill', 'server-freeze']) t.ok(hit.has(`${kind} ${server}`));
  for (const link of services.links)
    for (const kind of ['black-hole', 'slow-link']) t.ok(hit.has(`${kind} link to ${link}`));
  t.end();
});

t.test('without a server nothing else changes: a plan has faults all the way', (t) => {
  const plan = planFaults({ seed: 5, durationMs: 10 * minute, targets: standalone });

  t.ok(plan.length > 100, `${String(plan.length)} faults`);
  t.end();
});
