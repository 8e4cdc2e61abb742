/**
 * `make e2e`: the guarantees in their long form, moving from the replaced programs, clusters and the browser, on the
 * built services and private servers. The last line is `N passed, N failed`; the exit status is tap's.
 */
import { closeReport, runTap } from './run-tap.mjs';
import { provideTestServers } from './test-servers.mjs';

if (await provideTestServers()) {
  const guarantees = await runTap({
    options: ['--jobs=1', '--timeout=1800'],
    files: ['e2e/guarantees/*.test.ts', 'e2e/moving/*.test.ts', 'e2e/clusters/*.test.ts'],
  });
  const browser = await runTap({ options: ['--jobs=1', '--timeout=600'], files: ['e2e/browser/*.test.ts'] });
  process.exitCode = closeReport([guarantees, browser]);
} else process.exitCode = 1;
