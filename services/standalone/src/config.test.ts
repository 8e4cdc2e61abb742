import { writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loadServiceConfig } from '@hydrant/shared/runtime/run-service';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { printStandaloneConfig, readParts, standaloneInput, standaloneSchema } from './config.ts';

const page = new URL('../../../docs/configuration.md', import.meta.url);

/** As main does it. */
function load(env: Record<string, string>) {
  const { config } = loadServiceConfig(
    { schema: (lookup, given) => standaloneSchema(given, lookup), input: standaloneInput },
    env,
  );
  return { config, ...readParts(env, config) };
}

t.test('the tables of docs/configuration.md are read as it says', async (t) => {
  const [, example = ''] = /```toml\n(nomad_addr[\s\S]*?)```/u.exec(await readFile(page, 'utf8')) ?? [];
  const folder = testFolder(t, { token: 'a-token\n', slack: 'https://hooks.slack.example/services/x\n' });
  const file = join(t.testdirName, 'hydrant.toml');
  testFolder(t, {
    token: 'a-token\n',
    slack: 'https://hooks.slack.example/services/x\n',
    'hydrant.toml': example.replaceAll('/run/secrets', folder),
  });

  const { config, sinks } = load({ CONFIG_FILE: file });

  t.match(config, { NOMAD_ADDR: ['https://nomad.example:4646'], RESTART_COUNT: 3 });
  t.same(
    sinks.map(({ definition, worker }) => `${definition.type} ${worker.queue} ${worker.bindings.join()}`),
    [
      's3 hydrant.sink.archive event.#',
      'http hydrant.sink.jobs event.Job.#,event.Deployment.#',
      'slack hydrant.sink.slack crash-loop,crash-loop-resolved',
    ],
  );
  t.match(sinks[0], {
    values: { SINK_S3_BUCKET: 'nomad-events', SINK_S3_REGION: 'eu-central-1' },
    worker: { delivery: { batchAgeMs: 600_000 } },
  });
  t.match(sinks[1], { values: { SINK_HTTP_BEARER_TOKEN: 'a-token' } });
});

t.test('what is wrong in a table is named with its number', async (t) => {
  const folder = testFolder(t, {
    'hydrant.toml': '[[sink]]\ntype = "stdout"\n[[sink]]\ntype = "stdout"\n[[sink]]\ntype = "s3"\nbuckte = "x"\n',
  });

  t.throws(() => load({ CONFIG_FILE: join(folder, 'hydrant.toml') }), {
    message: /name of its own, got "stdout" twice[\s\S]*number 3 of .*`buckte`[\s\S]*`SINK_S3_BUCKET`/u,
  });
});

t.test(
  "what is no sink's own reaches every table from the environment or from above the tables, unless the table sets it",
  async (t) => {
    const tables = [
      '[[sink]]',
      'type = "slack"',
      'webhook_url = "https://hooks.slack.example/services/x"',
      '[[sink]]',
      'type = "pagerduty"',
      `routing_key = "${'a'.repeat(32)}"`,
      'nomad_ui_url = "https://own.example"',
      '',
    ].join('\n');
    const folder = testFolder(t, {
      'env.toml': tables,
      'above.toml': `nomad_ui_url = "https://above.example"\n${tables}`,
      proxy: 'http://ann:secret@proxy.example:3128\n',
      'http.toml': '[[sink]]\ntype = "http"\naddress = "https://collector.example"\n',
    });
    const urls = (env: Record<string, string>) => load(env).sinks.map(({ values }) => values['NOMAD_UI_URL']);
    const above = join(folder, 'above.toml');

    t.same(urls({ CONFIG_FILE: join(folder, 'env.toml'), NOMAD_UI_URL: 'https://env.example' }), [
      'https://env.example',
      'https://own.example',
    ]);
    t.same(urls({ CONFIG_FILE: above }), ['https://above.example', 'https://own.example']);
    t.same(urls({ CONFIG_FILE: above, NOMAD_UI_URL: 'https://env.example' }), [
      'https://env.example',
      'https://own.example',
    ]);
    const http = { CONFIG_FILE: join(folder, 'http.toml') };
    t.match(load({ ...http, https_proxy: 'proxy.example:3128', NO_PROXY: '10.0.0.0/8', SINK_TIMEOUT: '1h' }).sinks, [
      { values: { HTTPS_PROXY: 'http://proxy.example:3128', NO_PROXY: ['10.0.0.0/8'], SINK_TIMEOUT: 10_000 } },
    ]);
    t.match(load({ ...http, HTTPS_PROXY_FILE: join(folder, 'proxy') }).sinks, [
      { values: { HTTPS_PROXY: 'http://ann:secret@proxy.example:3128' } },
    ]);
    t.throws(() => load({ ...http, HTTPS_PROXY: 'socks5://p' }), { message: /`HTTPS_PROXY`/u });
  },
);

t.test('two sinks that write to one file are refused, however its path is written', async (t) => {
  const folder = testFolder(t, {
    real: {},
    link: t.fixture('symlink', 'real'),
    'there.ndjson': '',
    'to-there': t.fixture('symlink', 'there.ndjson'),
    'to-nothing': t.fixture('symlink', 'real/new.ndjson'),
  });
  const write = async (first: string, second: string): Promise<Record<string, string>> => {
    const file = join(folder, 'hydrant.toml');
    await writeFile(
      file,
      [first, second]
        .map((path, at) => `[[sink]]\ntype = "file"\nname = "n${String(at)}"\npath = "${path}"\n`)
        .join(''),
    );
    return { CONFIG_FILE: file };
  };
  const at = (name: string) => join(folder, name);
  const same: readonly (readonly [string, string])[] = [
    [at('a.ndjson'), at('a.ndjson')],
    [at('a.ndjson'), at('real/../a.ndjson')],
    [at('a.ndjson'), relative(process.cwd(), at('a.ndjson'))],
    [at('real/a/b.ndjson'), at('link/a/b.ndjson')],
    [at('there.ndjson'), at('to-there')],
    [at('to-nothing'), at('link/new.ndjson')],
  ];
  for (const [first, second] of same) {
    const env = await write(first, second);
    t.throws(
      () => load(env),
      { message: /Expected every \[\[sink\]\] to write to a place of its own, got .* for "n0" and "n1"/u },
      `${first} ${second}`,
    );
  }
  const env = await write(at('a.ndjson'), at('b.ndjson'));
  t.doesNotThrow(() => load(env));
});

function messageOf(act: () => unknown): string {
  try {
    act();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
}

t.test('a mistyped key of a table is answered with the key that was meant', (t) => {
  const folder = testFolder(t, {
    'hydrant.toml':
      '[[sink]]\ntype = "http"\nadress = "http://a/"\nbaerer_token_file = "x"\nbatch_agee = "1s"\nbinding = ["event.#"]\ntyp = "x"\n',
  });
  const message = messageOf(() => load({ CONFIG_FILE: join(folder, 'hydrant.toml') }));

  for (const [wrong, right] of [
    ['adress', 'address'],
    ['baerer_token_file', 'bearer_token_file'],
    ['batch_agee', 'batch_age'],
    ['binding', 'bindings'],
    ['typ', 'type'],
  ]) {
    t.ok(message.includes(`got \`${wrong ?? ''}\`; did you mean \`${right ?? ''}\`?`), `${wrong ?? ''} in: ${message}`);
  }
  t.end();
});

t.test('bindings of a table that match nothing are refused with what was meant', (t) => {
  const folder = testFolder(t, { 'hydrant.toml': '[[sink]]\ntype = "stdout"\nbindings = ["event.Alocation.#"]\n' });

  t.match(
    messageOf(() => load({ CONFIG_FILE: join(folder, 'hydrant.toml') })),
    /`AMQP_BINDINGS`.*number 1 of .*did you mean "Allocation"\?/u,
  );
  t.end();
});

const service = {
  schema: (lookup: (name: string) => string | undefined, given: Readonly<Record<string, string | undefined>>) =>
    standaloneSchema(given, lookup),
  input: standaloneInput,
};

t.test('the printed configuration with its tables is read back as the same settings', (t) => {
  const token = testFolder(t, { token: 'hunter2\n' });
  const folder = testFolder(t, {
    token: 'hunter2\n',
    'hydrant.toml': `
nomad_addr = ["https://nomad.example:4646", "unix:///secrets/api.sock"]
nomad_token = "hunter2"
restart_interval = "1h30m"
firehose_spool_max_bytes = "1.5GiB"
notify_resolved = false

[[sink]]
name = "archive"
type = "s3"
bucket = "events \\"quoted\\""
batch_age = "10m"
[[sink]]
type = "http"
bindings = ["event.Job.#", "crash-loop"]
address = "https://collector.example/events"
bearer_token_file = "${token}/token"
concurrency = 7
`,
  });
  const env = { CONFIG_FILE: join(folder, 'hydrant.toml') };
  const loaded = loadServiceConfig(service, env);
  const printed = printStandaloneConfig(loaded, env) ?? '';
  t.notMatch(printed, 'hunter2');
  t.match(printed, /^# NOMAD_TOKEN = "\*\*\*"/mu);
  writeFileSync(join(folder, 'again.toml'), printed);
  const again = load({ CONFIG_FILE: join(folder, 'again.toml') });
  const before = load(env);

  t.same(
    { ...again.config, CONFIG_FILE: null, NOMAD_TOKEN: null },
    { ...before.config, CONFIG_FILE: null, NOMAD_TOKEN: null },
  );
  t.same(
    again.sinks.map(({ values, worker }) => ({ values, worker })),
    before.sinks.map(({ values, worker }) => ({ values, worker })),
  );
  t.equal(
    printStandaloneConfig(loadServiceConfig(service, { SINK_TYPE: 'stdout' }), { SINK_TYPE: 'stdout' }),
    undefined,
    'without tables it is printed as for the environment',
  );
  t.end();
});

t.test('secrets of tables may be missing where only the settings are checked', (t) => {
  const folder = testFolder(t, {
    'hydrant.toml':
      '[[sink]]\ntype = "slack"\nwebhook_url_file = "/run/secrets/none"\n[[sink]]\ntype = "http"\naddress = "http://a/"\nbearer_token_file = "/run/secrets/none"\n',
  });
  const env = { CONFIG_FILE: join(folder, 'hydrant.toml') };

  t.match(
    messageOf(() => loadServiceConfig(service, env)),
    /_FILE` to name a readable file/u,
  );
  t.equal(
    messageOf(() => loadServiceConfig(service, env, { withoutSecrets: true })),
    '',
  );
  t.end();
});

t.test('settings of a sink in the environment beside tables are warned of', (t) => {
  const folder = testFolder(t, { 'hydrant.toml': '[[sink]]\ntype = "stdout"\nbindings = ["crashloop"]\n' });

  t.match(loadServiceConfig(service, { CONFIG_FILE: join(folder, 'hydrant.toml'), SINK_TYPE: 'http' }).warnings, [
    /`SINK_TYPE` is not read/u,
    /did you mean "crash-loop"\?/u,
  ]);
  t.end();
});
