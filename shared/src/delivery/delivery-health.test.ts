import t from 'tap';
import { DeliveryHealth } from './delivery-health.ts';

function repeat(times: number, action: () => void): void {
  for (let time = 0; time < times; time += 1) action();
}

void t.test('what /readyz says of a destination', (t) => {
  const outage = { reason: 'got 503', downMs: 600_000 };
  const cases: readonly (readonly [
    string,
    (health: DeliveryHealth) => void,
    'pass' | 'fail',
    RegExp | undefined,
    number?,
  ])[] = [
    [
      'not connected',
      (health) => {
        health.connecting('no route');
      },
      'fail',
      /^no route$/u,
    ],
    ['connected', () => undefined, 'pass', undefined],
    [
      'an incident',
      (health) => {
        repeat(2, () => {
          health.failed('got 503');
        });
      },
      'pass',
      undefined,
    ],
    [
      'an outage',
      (health) => {
        repeat(3, () => {
          health.failed('got 503');
        });
      },
      'fail',
      /^3 tries in a row failed: got 503$/u,
    ],
    [
      'an outage that is over',
      (health) => {
        repeat(3, () => {
          health.failed('got 503');
        });
        health.taken();
      },
      'pass',
      undefined,
    ],
    [
      'a message that is refused, and its batch split',
      (health) => {
        repeat(19, () => {
          health.refused('got 400');
        });
      },
      'pass',
      undefined,
    ],
    [
      'everything is refused',
      (health) => {
        repeat(20, () => {
          health.refused('got 401');
        });
      },
      'fail',
      /^20 tries in a row were refused for good and nothing was taken, so messages go to the dead letters: got 401$/u,
    ],
    [
      'not everything is refused',
      (health) => {
        repeat(19, () => {
          health.refused('got 401');
        });
        health.taken();
        repeat(19, () => {
          health.refused('got 401');
        });
      },
      'pass',
      undefined,
    ],
    [
      'left alone',
      (health) => {
        health.paused(outage);
      },
      'fail',
      /^Down for 10m, so its queue is left alone until it answers: got 503$/u,
    ],
    [
      'left alone and asked',
      (health) => {
        health.paused(outage);
        health.probeFailed('got 401');
      },
      'fail',
      /: got 503; asked since: got 401$/u,
    ],
    [
      'consumed again',
      (health) => {
        health.paused(outage);
        health.probeFailed('got 401');
        health.paused(undefined);
      },
      'pass',
      undefined,
    ],
    ['something is set aside', () => undefined, 'pass', /Set aside.*: 2$/u, 2],
  ];
  for (const [name, act, status, detail, aside = 0] of cases) {
    const health = new DeliveryHealth();
    health.connecting(undefined);
    act(health);
    const said = health.check(aside);
    t.equal(said.status, status, name);
    if (detail === undefined) t.equal(said.detail, undefined, name);
    else t.match(said.detail, detail, name);
  }
  t.match(new DeliveryHealth().check(0), { status: 'fail', detail: 'Not connected yet' });
  t.end();
});
