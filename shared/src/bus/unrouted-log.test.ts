import t from 'tap';
import { createUnroutedLog } from './unrouted-log.ts';

t.test('what no queue takes is said at once, then once a minute with how many there were', (t) => {
  let nowMs = 0;
  const said: unknown[] = [];
  const log = createUnroutedLog({ monotonic: () => nowMs }, (facts) => {
    said.push({ second: nowMs / 1000, ...facts });
  });

  for (const [second, routingKey] of [
    [0, 'a'],
    [1, 'b'],
    [59, 'c'],
    [60, 'd'],
    [61, 'e'],
    [300, 'f'],
  ] as const) {
    nowMs = second * 1000;
    log.note(routingKey);
  }

  t.same(said, [
    { second: 0, routingKey: 'a', messages: 1 },
    { second: 60, routingKey: 'd', messages: 3 },
    { second: 300, routingKey: 'f', messages: 2 },
  ]);
  t.end();
});
