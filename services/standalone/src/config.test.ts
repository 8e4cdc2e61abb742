import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadServiceConfig } from '@hydrant/shared/runtime/run-service';
import t from 'tap';
import { readParts, standaloneInput, standaloneSchema } from './config.ts';

const page = new URL('../../../docs/configuration.md', import.meta.url);

/** As main does it. */
function load(env: Record<string, string>) {
  const { config } = loadServiceConfig({ schema: (lookup, given) => standaloneSchema(given, lookup), input: standaloneInput }, env);
  return { config, ...readParts(env, config) };
}

t.test('the tables of docs/configuration.md are read as it says', async (t) => {
  const [, example = ''] = /```toml\n(nomad_addr[\s\S]*?)```/u.exec(await readFile(page, 'utf8')) ?? [];
  const folder = t.testdir({ token: 'a-token\n', slack: 'https://hooks.slack.example/services/x\n' });
  const file = join(t.testdirName, 'hydrant.toml');
  t.testdir({ token: 'a-token\n', slack: 'https://hooks.slack.example/services/x\n', 'hydrant.toml': example.replaceAll('/run/secrets', folder) });

  const { config, sinks } = load({ CONFIG_FILE: file });

  t.match(config, { NOMAD_ADDR: ['https://nomad.example:4646'], RESTART_COUNT: 3 });
  t.same(sinks.map(({ definition, worker }) => `${definition.type} ${worker.queue} ${worker.bindings.join()}`), [
    's3 hydrant.sink.archive event.#',
    'http hydrant.sink.jobs event.Job.#,event.Deployment.#',
    'slack hydrant.sink.slack crash-loop,crash-loop-resolved',
  ]);
  t.match(sinks[0], { values: { SINK_S3_BUCKET: 'nomad-events', SINK_S3_REGION: 'eu-central-1' }, worker: { delivery: { batchAgeMs: 600_000 } } });
  t.match(sinks[1], { values: { SINK_HTTP_BEARER_TOKEN: 'a-token' } });
});

t.test('what is wrong in a table is named with its number', async (t) => {
  const folder = t.testdir({ 'hydrant.toml': '[[sink]]\ntype = "stdout"\n[[sink]]\ntype = "stdout"\n[[sink]]\ntype = "s3"\nbuckte = "x"\n' });

  t.throws(() => load({ CONFIG_FILE: join(folder, 'hydrant.toml') }), { message: /name of its own, got "stdout" twice[\s\S]*number 3 of .*`buckte`[\s\S]*`SINK_S3_BUCKET`/u });
});
