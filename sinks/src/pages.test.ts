/**
 * Each destination has a page that says what arrives, what goes wrong and what the limits are, and begins with settings
 * that work.
 */
import { readFile } from 'node:fs/promises';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import type { Values, Schema } from '@hydrant/shared/runtime/config/setting';
import t from 'tap';
import { findSink, sinkTypes, type AnySink } from './registry.ts';

function readPage(type: string): Promise<string> {
  return readFile(new URL(`../../docs/sinks/${type}.md`, import.meta.url), 'utf8');
}

/** The lines of the first example, as environments. What would come from a file is given as text. */
function readExamples(page: string, { settings }: AnySink): readonly Record<string, string>[] {
  const block = /```sh\n(.*?)```/su.exec(page)?.[1] ?? '';
  return block
    .trimEnd()
    .split('\n')
    .map((line) => {
      const env: Record<string, string> = {};
      for (const [, name = '', value = ''] of line.matchAll(/\b([A-Z][A-Z0-9_]+)=(\S+)/gu)) {
        const ofFile = name.endsWith('_FILE') && !(name in settings) ? name.slice(0, -'_FILE'.length) : undefined;
        env[ofFile ?? name] = ofFile === undefined ? value : secretOf(ofFile, settings);
      }
      return env;
    });
}

function secretOf(name: string, settings: Schema): string {
  return settings[name]?.example ?? (name.endsWith('BASIC_AUTH') ? 'ann:secret' : 'a'.repeat(32));
}

/** Of files that an example names and that are not on this machine. */
const missingFile = /could not: ENOENT/u;

for (const type of sinkTypes) {
  void t.test(`the page of ${type} says all that a user has to know`, async (t) => {
    const definition = findSink(type);
    if (definition === undefined) throw new Error(`Expected a sink ${type}`);
    const page = await readPage(type);

    for (const heading of [/^## What arrives$/mu, /^## What (?:goes wrong|an answer means)$/mu, /^## Limits$/mu])
      t.match(page, heading);
    const arrives = page.slice(page.indexOf('## What arrives')).split(/^## /mu)[1] ?? '';
    t.match(arrives, /```|^> /mu, 'an example of what arrives');
    t.match(page, /dead letters/u, 'what becomes of what can never be delivered');

    const examples = readExamples(page, definition);
    t.ok(examples.length > 0);
    for (const env of examples) {
      t.equal(env['SINK_TYPE'], type);
      const own = Object.fromEntries(Object.entries(env).filter(([name]) => name in definition.settings));
      const common = Object.keys(env).filter(
        (name) => !(name in definition.settings) && !/^SINK_(?:TYPE|NAME|CONCURRENCY)$/u.test(name),
      );
      t.same(common, [], 'every setting of the example is one');
      try {
        loadConfig(definition.settings, {
          env: own,
          check: (values) => definition.check?.(values as Values<Schema>) ?? [],
        });
      } catch (error) {
        if (!missingFile.test(String(error))) t.fail(String(error));
      }
    }
  });
}
