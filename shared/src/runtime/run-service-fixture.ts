/**
 * A service for the tests of run-service.ts: FIXTURE_START, FIXTURE_STOP and FIXTURE_LATER tell what goes wrong in it.
 */
import { HydrantError } from '../foundation/errors.ts';
import { commonSettings } from './config/common-settings.ts';
import { duration, oneOf } from './config/formats.ts';
import type { Schema } from './config/setting.ts';
import { runService, type ServiceContext } from './run-service.ts';
import type { Component } from './component.ts';

const baseSchema = {
  ...commonSettings({ httpPort: 0 }),
  FIXTURE_START: { doc: 'What happens at start.', format: oneOf(['clean', 'hang', 'fail']), default: 'clean' },
  FIXTURE_STOP: { doc: 'What happens at stop.', format: oneOf(['clean', 'hang']), default: 'clean' },
  FIXTURE_LATER: {
    doc: 'What happens once it runs.',
    format: oneOf(['nothing', 'throw', 'reject']),
    default: 'nothing',
  },
} as const satisfies Schema;

const specialSettings = {
  FIXTURE_SPECIAL: { doc: 'Only with FIXTURE_KIND=special.', format: duration, default: null, required: true },
} as const satisfies Schema;

type FixtureConfig = { readonly [K in 'FIXTURE_START' | 'FIXTURE_STOP' | 'FIXTURE_LATER']: string };

function makeSecond(config: FixtureConfig, { log, clock }: ServiceContext): Component {
  return {
    name: 'second',
    async start(signal) {
      log.info('second starts');
      if (config.FIXTURE_START === 'fail') throw new Error('second cannot start');
      if (config.FIXTURE_START === 'hang') await clock.sleep(60_000, signal);
      signal.throwIfAborted();
      clock.after(10, () => {
        if (config.FIXTURE_LATER === 'throw') throw new Error('thrown later');
        if (config.FIXTURE_LATER === 'reject') void Promise.reject(new Error('rejected later'));
      });
    },
    stop() {
      log.info('second stops');
      return config.FIXTURE_STOP === 'hang' ? new Promise<void>(() => undefined) : Promise.resolve();
    },
  };
}

await runService({
  name: 'hydrant-fixture',
  version: '0.0.0',
  schema: (lookup): typeof baseSchema =>
    lookup('FIXTURE_KIND') === 'special' ? { ...baseSchema, ...specialSettings } : baseSchema,
  input: (_env, lookup) => ({
    problems: lookup('FIXTURE_KIND') === 'unknown' ? ['Expected `FIXTURE_KIND` to be known'] : [],
  }),
  create: (config, context) => ({
    components: [
      {
        name: 'first',
        start: () => Promise.resolve(),
        stop: () => {
          context.log.info('first stops');
          return Promise.resolve();
        },
      },
      makeSecond(config, context),
    ],
    healthChecks: [{ name: 'fixture', check: () => ({ status: 'pass', detail: 'well' }) }],
  }),
  commands: [
    {
      name: 'greet',
      doc: 'Says hello to its arguments.',
      help: '  NAME  whom to greet',
      async run(config, { args, log, clock, signal }) {
        log.info({ args, port: config.HTTP_PORT }, 'Hello');
        if (args[0] === 'refuse')
          throw new HydrantError('Expected a name to greet, got none', { code: 'arguments-invalid', retryable: false });
        if (args[0] === 'fail') throw new Error('nobody to greet');
        if (args[0] === 'wait') await clock.sleep(60_000, signal);
      },
    },
  ],
});
