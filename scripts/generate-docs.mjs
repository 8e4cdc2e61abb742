/** `make docs` writes the documents that are made from the code; with `--check` it writes nothing and fails when one is stale. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { makeConfigurationPage } from './docs/configuration.mjs';
import { makeMetricsPage } from './docs/metrics.mjs';

const pages = { 'docs/configuration.md': await makeConfigurationPage(), 'docs/metrics.md': makeMetricsPage() };

const stale = Object.keys(pages).filter((file) => !existsSync(file) || readFileSync(file, 'utf8') !== pages[file]);
if (process.argv.includes('--check')) {
  process.stdout.write(stale.length === 0 ? 'Generated documents are up to date\n' : `Stale: ${stale.join(', ')}; run "make docs"\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const file of stale) writeFileSync(file, pages[file]);
  process.stdout.write(stale.length === 0 ? 'Nothing to write\n' : `Written: ${stale.join(', ')}\n`);
}
