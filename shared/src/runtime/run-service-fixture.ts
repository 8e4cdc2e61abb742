/** A service for the tests of run-service.ts: what it does at stop is told by STOP_BEHAVIOUR. */
import { commonSettings } from './config/common-settings.ts';
import { oneOf } from './config/formats.ts';
import type { Schema } from './config/setting.ts';
import { runService } from './run-service.ts';

const schema = {
  ...commonSettings({ httpPort: 0 }),
  STOP_BEHAVIOUR: { doc: 'What happens at stop.', format: oneOf(['clean', 'hang']), default: 'clean' },
} as const satisfies Schema;

await runService({
  name: 'hydrant-fixture',
  version: '0.0.0',
  schema,
  create: (config, { log }) => ({
    components: [
      { name: 'first', start: () => Promise.resolve(), stop: () => { log.info('first stops'); return Promise.resolve(); } },
      {
        name: 'second',
        start: () => Promise.resolve(),
        stop: () => {
          log.info('second stops');
          return config.STOP_BEHAVIOUR === 'hang' ? new Promise<void>(() => undefined) : Promise.resolve();
        },
      },
    ],
    healthChecks: [{ name: 'fixture', check: () => ({ status: 'pass' }) }],
  }),
});
