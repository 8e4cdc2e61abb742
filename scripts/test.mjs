/**
 * `make test`: unit and contract tests from source, then the guarantees in their short form on the built services, all
 * on private servers. The last line is `N passed, N failed`; the exit status is tap's.
 */
import { closeReport, runTap } from './run-tap.mjs';
import { provideTestServers } from './test-servers.mjs';

async function runUnitTests() {
  const { startTestServers } = await import('../testing/dist/serve.js');
  const servers = await startTestServers();
  try {
    return await runTap({ env: servers.env });
  } finally {
    await servers.close();
  }
}

if (await provideTestServers()) {
  const unit = await runUnitTests();
  const guarantees = await runTap({
    options: ['--jobs=1', '--timeout=600'],
    files: ['e2e/guarantees/*.test.ts'],
    env: { E2E_FORM: 'short' },
  });
  process.exitCode = closeReport([unit, guarantees]);
} else process.exitCode = 1;
