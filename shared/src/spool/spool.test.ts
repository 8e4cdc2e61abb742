import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { createFolderSpool } from './folder-spool.ts';
import { createMemorySpool } from './memory-spool.ts';
import { spoolContract } from './spool-contract.ts';

await spoolContract(t, {
  name: 'memory',
  create: async (t, options) => {
    const spool = createMemorySpool(options);
    t.teardown(() => spool.close());
    await spool.open();
    return spool;
  },
});

for (const sync of ['always', 'never'] as const) {
  await spoolContract(t, {
    name: `folder, sync ${sync}`,
    create: async (t, options) => {
      const spool = createFolderSpool({ ...options, dir: testFolder(t), sync, log: testLog(), clock: systemClock });
      t.teardown(() => spool.close());
      await spool.open();
      return spool;
    },
  });
}
