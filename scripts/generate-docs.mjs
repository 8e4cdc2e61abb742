/**
 * `make docs` writes the files that are made from the code; with `--check` it writes nothing and fails when one is
 * stale, or when a page that people write names what does not exist.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { makeComposeSettings } from './docs/compose-settings.mjs';
import { captureServices, makeConfigurationPage, readSinks } from './docs/configuration.mjs';
import { makeMetricsPage } from './docs/metrics.mjs';
import { makeSinksPage } from './docs/sinks-page.mjs';
import { checkWrittenPages } from './docs/written-pages.mjs';

const declarations = await captureServices();
const sinks = await readSinks();
const pages = {
  'docs/configuration.md': makeConfigurationPage(declarations, sinks),
  'docs/metrics.md': makeMetricsPage(),
  'docs/sinks/README.md': makeSinksPage(sinks),
  'deploy/compose/settings.yml': makeComposeSettings(
    declarations,
    sinks.map(({ settings }) => settings),
  ),
};

const stale = Object.keys(pages).filter((file) => !existsSync(file) || readFileSync(file, 'utf8') !== pages[file]);
if (process.argv.includes('--check')) {
  const problems = checkWrittenPages([...declarations.values(), ...sinks.map(({ settings }) => settings)]);
  process.stdout.write(
    stale.length === 0 ? 'Generated documents are up to date\n' : `Stale: ${stale.join(', ')}; run "make docs"\n`,
  );
  process.stdout.write(problems.length === 0 ? 'Written documents name what exists\n' : `${problems.join('\n')}\n`);
  process.exitCode = stale.length === 0 && problems.length === 0 ? 0 : 1;
} else {
  for (const file of stale) writeFileSync(file, pages[file]);
  process.stdout.write(stale.length === 0 ? 'Nothing to write\n' : `Written: ${stale.join(', ')}\n`);
}
