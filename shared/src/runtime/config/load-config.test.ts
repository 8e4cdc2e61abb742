import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { errorCode, toError } from '../../foundation/errors.ts';
import { amqpSettings, commonSettings, redisSettings } from './common-settings.ts';
import { bool, integer, list, oneOf, path, text, type Format } from './formats.ts';
import { formatCommandHelp, formatHelp } from './help.ts';
import { loadConfig, readConfig, readConfigFile, type ConfigInput } from './load-config.ts';
import { formatConfig } from './print-config.ts';
import type { Schema } from './setting.ts';

const settings = {
  ...commonSettings({ httpPort: 9401 }),
  ...amqpSettings,
  ...redisSettings,
  SINK_NAME: { doc: 'Name.', format: list, default: null, required: true },
  SINK_CONCURRENCY: {
    doc: 'Batches in flight.',
    format: integer({ min: 1, max: 100 }),
    default: 4,
    aliases: ['SINK_HTTP_WORKERS'],
  },
  SINK_MODE: { doc: 'Mode.', format: oneOf(['fast', 'safe']), default: 'safe' },
  SINK_PASSWORD: { doc: 'Password.', format: text, default: null, sensitive: true, aliases: ['SINK_PASS'] },
  NOTIFY_RESOLVED: { doc: 'Whether.', format: bool, default: true },
  NOMAD_TOKEN: { doc: 'Token.', format: text, default: null, sensitive: true },
  NOMAD_TOKEN_FILE: { doc: 'File of the token, read by the service itself.', format: path, default: null },
} as const satisfies Schema;

function problemsOf(env: Readonly<Record<string, string>>, input: Omit<ConfigInput, 'env'> = {}): readonly string[] {
  try {
    loadConfig(settings, { env, ...input });
    return [];
  } catch (error) {
    t.equal(errorCode(error), 'config-invalid');
    return toError(error).message.split('\n');
  }
}

void t.test('values are typed by their formats', (t) => {
  const config = loadConfig(settings, { env: { SINK_NAME: 'a,b', SINK_MODE: 'fast' } });

  const timeoutMs: number = config.SHUTDOWN_TIMEOUT;
  const names: readonly string[] = config.SINK_NAME;
  const mode: 'fast' | 'safe' = config.SINK_MODE;
  const brokers: readonly string[] = config.AMQP_CONNECTION;
  const maxBytes: number | null = config.AMQP_QUEUE_MAX_BYTES;
  // @ts-expect-error A setting without default may be null.
  const token: string = config.NOMAD_TOKEN;
  // @ts-expect-error There is no such setting.
  const unknown: unknown = config.SINK_NMAE;

  t.same(
    { timeoutMs, names, mode, brokers, maxBytes, token, unknown },
    {
      timeoutMs: 25_000,
      names: ['a', 'b'],
      mode: 'fast',
      brokers: ['amqp://guest:guest@127.0.0.1:5672/'],
      maxBytes: null,
      token: null,
      unknown: undefined,
    },
  );
  t.end();
});

void t.test('a text that is required and not set is asked for with its example', (t) => {
  const schema = {
    KIND: { doc: 'Kind.', format: text, default: null, required: true, example: 'http' },
  } as const satisfies Schema;

  t.throws(() => loadConfig(schema, { env: {} }), {
    message:
      'Expected `KIND` to be text such as "http", it is not set (set the environment variable or add it to CONFIG_FILE)',
  });
  t.end();
});

void t.test('environment stands before the file, the file before the default', (t) => {
  const folder = testFolder(t, {
    'hydrant.toml':
      'sink_name = ["a", "b"]\nSHUTDOWN_TIMEOUT = "5s"\nLOG_LEVEL = "debug"\nSINK_CONCURRENCY = 9\nNotify_Resolved = false\n',
  });

  const config = loadConfig(settings, {
    env: { CONFIG_FILE: `${folder}/hydrant.toml`, LOG_LEVEL: 'warn', HTTP_PORT: '', SINK_HTTP_WORKERS: '7' },
  });

  t.match(config, {
    LOG_LEVEL: 'warn',
    SHUTDOWN_TIMEOUT: 5000,
    SINK_NAME: ['a', 'b'],
    NOTIFY_RESOLVED: false,
    AMQP_QUEUE_MAX_BYTES: null,
  });
  t.equal(config.HTTP_PORT, 9401, 'an empty variable counts as not set');
  t.equal(config.SINK_CONCURRENCY, 7, 'an older name in the environment stands before the file');
  t.end();
});

void t.test('every problem is named at once with value, expectation and origin', (t) => {
  const folder = testFolder(t, {
    'hydrant.toml': 'LOG_LEVEL = "loud"\nSINK_MODE = { a = 1 }\nSHUTDOWN_TIMOUT = "5s"\n',
    password: '\n',
  });
  const file = `${folder}/hydrant.toml`;

  const problems = problemsOf(
    {
      CONFIG_FILE: file,
      SHUTDOWN_TIMEOUT: '25',
      HTTP_PORT: '99999',
      SINK_HTTP_WORKERS: '5abc',
      NOTIFY_RESOLVED: 'constructor',
      AMQP_CONNECTION: 'http://user:hunter2@host',
      REDIS_URL: 'http:x',
      SINK_PASSWORD_FILE: `${folder}/password`,
    },
    { problems: ['Expected `SINK_TYPE` to be known'] },
  );

  t.same(
    problems.toSorted(),
    [
      'Expected `AMQP_CONNECTION` to be one or more URLs (amqp://… or amqps://…), separated by commas, got a value that is not shown because it is secret (environment)',
      'Expected `HTTP_PORT` to be a port between 0 and 65535 (0: any free one), got "99999" (environment)',
      `Expected \`LOG_LEVEL\` to be one of "trace", "debug", "info", "warn", "error", "fatal", got "loud" (${file})`,
      'Expected `NOTIFY_RESOLVED` to be "true" or "false", got "constructor" (environment)',
      'Expected `REDIS_URL` to be a URL (redis://… or rediss://…), got a value that is not shown because it is secret (environment)',
      'Expected `SHUTDOWN_TIMEOUT` to be a duration such as "25s", "5m" or "1h30m", between 100ms and 24h, got "25" (environment)',
      'Expected `SINK_CONCURRENCY` to be a whole number between 1 and 100, got "5abc" (environment, as SINK_HTTP_WORKERS)',
      `Expected \`SINK_MODE\` to be one of "fast", "safe", got {"a":1} (${file})`,
      'Expected `SINK_NAME` to be words separated by commas, it is not set (set the environment variable or add it to CONFIG_FILE)',
      `Expected \`SINK_PASSWORD_FILE\` to name a file that holds a value, got "${folder}/password", which is empty (environment)`,
      'Expected `SINK_TYPE` to be known',
      `Expected only known settings in ${file}, got \`SHUTDOWN_TIMOUT\`; did you mean \`SHUTDOWN_TIMEOUT\`?`,
    ].toSorted(),
  );
  t.end();
});

void t.test('checks over several settings are reported with the problems of single ones', (t) => {
  const check = ({ SINK_CONCURRENCY: most }: Readonly<Record<string, unknown>>): readonly string[] => [
    `at most ${String(most)}`,
    'Expected `SINK_CONCURRENCY` to be more',
  ];
  const needsRequired = ({ SINK_NAME: name }: Readonly<Record<string, unknown>>): readonly string[] => [
    `named ${(name as string).length}`,
  ];

  t.same(problemsOf({ SINK_NAME: 'x' }, { check }), ['at most 4', 'Expected `SINK_CONCURRENCY` to be more']);
  t.match(
    problemsOf({ SINK_NAME: 'x', SINK_CONCURRENCY: '0' }, { check }),
    [/`SINK_CONCURRENCY` to be .*got "0"/u, 'at most 4'],
    'the default stands for it',
  );
  t.match(problemsOf({}, { check }), [/`SINK_NAME` .*not set/u, 'at most 4', 'Expected `SINK_CONCURRENCY` to be more']);
  t.match(problemsOf({}, { check: needsRequired }), [/`SINK_NAME` .*not set/u], 'what cannot be checked is not');
  t.throws(
    () =>
      loadConfig(settings, {
        env: { SINK_NAME: 'x' },
        check: () => {
          throw new TypeError('a defect');
        },
      }),
    { message: 'a defect' },
  );
  t.end();
});

void t.test('a secret is read from the file that its variable names', (t) => {
  const folder = testFolder(t, {
    url: 'redis://:pw@redis.example:6379/0\n',
    padded: ' two words \r\n',
    wrong: 'ftp://hunter2',
  });
  const load = (env: Readonly<Record<string, string>>) => loadConfig(settings, { env: { SINK_NAME: 'x', ...env } });

  t.equal(load({ REDIS_URL_FILE: `${folder}/url` }).REDIS_URL, 'redis://:pw@redis.example:6379/0');
  t.equal(
    load({ SINK_PASS_FILE: `${folder}/padded` }).SINK_PASSWORD,
    ' two words ',
    'only the end of the line is cut off',
  );
  t.match(problemsOf({ SINK_NAME: 'x', REDIS_URL_FILE: `${folder}/none` }), [
    /^Expected `REDIS_URL_FILE` to name a readable file, got ".*none" \(environment\): ENOENT/u,
  ]);
  t.match(problemsOf({ SINK_NAME: 'x', REDIS_URL: 'redis://a', REDIS_URL_FILE: `${folder}/url` }), [
    /^Expected either `REDIS_URL` or `REDIS_URL_FILE`, got both \(environment; environment\)$/u,
  ]);
  t.match(problemsOf({ SINK_NAME: 'x', REDIS_URL_FILE: `${folder}/wrong` }), [
    /got a value that is not shown because it is secret \(REDIS_URL_FILE .*wrong\)$/u,
  ]);
  t.end();
});

void t.test('the end of the line behind a secret does not belong to it, and a line break within it is refused', (t) => {
  const folder = testFolder(t, { token: 'a-token\r\n\n', broken: 'hunter2\nx' });
  const load = (env: Readonly<Record<string, string>>) => loadConfig(settings, { env: { SINK_NAME: 'x', ...env } });

  t.equal(load({ NOMAD_TOKEN: 'a-token\n' }).NOMAD_TOKEN, 'a-token');
  t.equal(load({ SINK_PASSWORD_FILE: `${folder}/token` }).SINK_PASSWORD, 'a-token');
  for (const env of [
    { NOMAD_TOKEN: 'hunter2\nx' },
    { NOMAD_TOKEN: 'hunter2\u0007' },
    { SINK_PASSWORD_FILE: `${folder}/broken` },
  ]) {
    const [problem = '', ...others] = problemsOf({ SINK_NAME: 'x', ...env });
    t.match(
      problem,
      /got a value that is not shown because it is secret \(.*\); it holds a line break or another control character$/u,
    );
    t.notMatch([problem, ...others].join(), 'hunter2');
  }
  t.end();
});

void t.test('a format that throws is a problem of its setting, and no value is told', (t) => {
  const thrower: Format<string> = { ...text, parse: (raw) => decodeURIComponent(String(raw)) };
  const schema = { ADDR: { doc: 'Address.', format: thrower, default: null } } as const satisfies Schema;

  t.throws(() => loadConfig(schema, { env: { ADDR: 'http://ops:S3cret%@host' } }), {
    code: 'config-invalid',
    message: /^Expected `ADDR` to be text, got "?http:\/\/\*\*\*@host/u,
  });
  t.end();
});

void t.test('an address with a login is told without it, in whatever setting it stands', (t) => {
  const hidden = (env: Readonly<Record<string, string>>, input: Omit<ConfigInput, 'env'> = {}): void => {
    const problems = problemsOf({ SINK_NAME: 'x', ...env }, input);
    t.equal(problems.length, 1);
    t.notMatch(problems.join(), /hunter2/u);
  };
  hidden({ SINK_MODE: 'http://u:hunter2@host' });
  hidden({ REDIS_SENTINELS: 'u:hunter2@host:1' });
  hidden({ REDIS_URL: 'redis://u:12/hunter2@host' });
  hidden({ SINK_CONCURRENCY: 'u:hunter2@host' });
  hidden(
    { SINK_NAME: 'nats://u:hunter2,3@host' },
    {
      check: (values) => [`Expected another name than "${(values['SINK_NAME'] as readonly string[]).join('" or "')}"`],
    },
  );
  hidden(
    { SINK_NAME: 'redis://a/,redis://u:12/hunter2,@host' },
    {
      check: (values) => [`Expected another name than "${(values['SINK_NAME'] as readonly string[]).join('" or "')}"`],
    },
  );
  t.end();
});

void t.test('without secrets, one that is missing is no problem, and everything else is', (t) => {
  const schema = {
    ...settings,
    SINK_KEY: { doc: 'Key.', format: text, default: null, required: true, sensitive: true },
  } as const satisfies Schema;
  const problems = (env: Readonly<Record<string, string>>): string => {
    try {
      loadConfig(schema, {
        env: { SINK_NAME: 'x', ...env },
        withoutSecrets: true,
        check: ({ SINK_KEY: key }) => [`the key ${(key as string).length}`],
      });
      return '';
    } catch (error) {
      return toError(error).message;
    }
  };

  t.equal(problems({}), '');
  t.equal(problems({ SINK_KEY_FILE: '/run/secrets/none', REDIS_URL_FILE: '/run/secrets/none' }), '');
  t.match(
    problems({ REDIS_URL_FILE: '/run/secrets/none', SINK_MODE: 'quick' }),
    /^Expected `SINK_MODE` to be one of "fast", "safe", got "quick" \(environment\)$/u,
  );
  t.match(problems({ REDIS_URL: 'http://x' }), /`REDIS_URL`/u, 'one that is there is checked');
  t.match(problems({ REDIS_URL_FILE: '/' }), /`REDIS_URL_FILE`/u);
  t.equal(problems({ AMQP_CACERT: '/run/secrets/none', AMQP_CLIENT_KEY: '/run/secrets/none' }), '');
  t.end();
});

void t.test('a variable that is no setting and looks like one is doubted', (t) => {
  const warningsOf = (env: Readonly<Record<string, string>>, names: readonly string[] = []): readonly string[] => {
    const otherSettings = Object.fromEntries(names.map((name) => [name, { doc: '', format: text, default: null }]));
    return readConfig(settings, { env: { SINK_NAME: 'x', ...env }, otherSettings }).warnings;
  };

  t.same(warningsOf({ AMQP_CONECTION: 'amqp://a', LOGLEVEL: 'debug' }), [
    'The environment variable `AMQP_CONECTION` is no setting and is not read; did you mean `AMQP_CONNECTION`?',
    'The environment variable `LOGLEVEL` is no setting and is not read; did you mean `LOG_LEVEL`?',
  ]);
  t.same(warningsOf({ SINK_HTTP_ADRESS: 'x' }, ['SINK_HTTP_ADDRESS']), [
    'The environment variable `SINK_HTTP_ADRESS` is no setting and is not read; did you mean `SINK_HTTP_ADDRESS`?',
  ]);
  t.same(
    warningsOf({ SINK_HTTP_ADDRESS: 'x' }, ['SINK_HTTP_ADDRESS', 'SINK_LOKI_ADDRESS']),
    [],
    'it is a setting of another sink',
  );
  t.same(
    warningsOf({
      HTTPS_PORT: '1',
      PATH: '/bin',
      HOME: '/',
      NOMAD_REGION: 'eu',
      NOMAD_ALLOC_ID: 'x',
      NOMAD_ADDR_http: 'h:1',
      SINK_PASS_FILE: testFolder(t, { f: 'x' }).concat('/f'),
      REDIS_PASSWORD: 'x',
    }),
    [],
  );
  t.end();
});

void t.test('a file setting of the schema itself is left to the service', (t) => {
  const config = loadConfig(settings, {
    env: { SINK_NAME: 'x', NOMAD_TOKEN: 'from-nomad', NOMAD_TOKEN_FILE: '/not/there/yet' },
  });

  t.match(config, { NOMAD_TOKEN: 'from-nomad', NOMAD_TOKEN_FILE: '/not/there/yet' });
  t.end();
});

void t.test('CONFIG_FILE is refused with its reason, and never quoted', (t) => {
  const folder = testFolder(t, {
    'ok.json': '{"SINK_NAME":"x","LOG_LEVEL":null,"sink":[{}]}',
    'unknown.json':
      '{"SINK_NAME":"x","REDIS_ULR":"redis://a","CONFIG_FILE":"b","LOG_LEVEL":"info","log_level":"info","sink":1}',
    'broken.json': '{"SINK_NAME":"x",\n"SINK_PASSWORD":"hunter2",}',
    'broken.toml': 'SINK_NAME = "x"\nSINK_PASSWORD = "hunter2\n',
    'list.json': '[]',
  });
  const problems = (name: string): readonly string[] =>
    problemsOf({ SINK_NAME: 'x', CONFIG_FILE: `${folder}/${name}` });

  t.equal(loadConfig(settings, { env: { CONFIG_FILE: `${folder}/ok.json` }, otherKeys: ['sink'] }).LOG_LEVEL, 'info');
  t.match(problems('unknown.json'), [
    /got `REDIS_ULR`; did you mean `REDIS_URL`\?/u,
    /`CONFIG_FILE` to be set in the environment/u,
    /`LOG_LEVEL` once in/u,
    /got `sink`$/u,
  ]);
  t.match(problems('broken.json'), [
    /^Expected `CONFIG_FILE` to hold JSON, got ".*broken.json" that cannot be read as such \(line 2\)$/u,
  ]);
  t.match(problems('broken.toml'), [
    /^Expected `CONFIG_FILE` to hold TOML, got ".*broken.toml" that cannot be read as such \(line 2, column \d+\)$/u,
  ]);
  t.match(problems('list.json'), [/to hold a table at the top/u]);
  t.match(problems('none.toml'), [
    /^Expected `CONFIG_FILE` to name a TOML or JSON file that can be read, got ".*none.toml": ENOENT/u,
  ]);
  t.throws(() => readConfigFile(`${folder}/none.toml`), { code: 'config-invalid' });
  t.end();
});

void t.test('a table given in place of the file has an origin of its own', (t) => {
  const table = { values: { sink_name: 'x', sink_concurrency: 0 }, origin: '[[sink]] number 1' };

  t.same(problemsOf({ CONFIG_FILE: '/not/read' }, { table }), [
    'Expected `SINK_CONCURRENCY` to be a whole number between 1 and 100, got 0 ([[sink]] number 1)',
  ]);
  t.end();
});

void t.test('the printed settings hold no secret and can be set again', (t) => {
  const schema = {
    ...settings,
    SINK_ADDRESSES: { doc: 'Where.', format: list, default: null },
  } as const satisfies Schema;
  const env = {
    SINK_NAME: 'x,y',
    AMQP_CONNECTION: 'amqp://user:hunter2@host/',
    SINK_ADDRESSES: 'http://u:hunter2@a/,b',
    AMQP_QUEUE_MAX_BYTES: '1.5GiB',
  };

  const printed = formatConfig(schema, loadConfig(schema, { env }));

  t.notMatch(printed, 'hunter2');
  t.match(printed, /^SHUTDOWN_TIMEOUT=25s$/mu);
  t.match(printed, /^AMQP_CONNECTION=\*\*\*$/mu);
  t.match(printed, /^SINK_ADDRESSES=http:\/\/\*\*\*@a\/,b$/mu);
  t.match(printed, /^AMQP_QUEUE_MAX_BYTES=1.5GiB$/mu);
  t.match(printed, /^SINK_PASSWORD=$/mu);
  t.end();
});

void t.test('the help names every setting with its default', (t) => {
  const help = formatHelp(settings, {
    service: 'hydrant-test',
    commands: [{ name: 'remove-queue', doc: 'Removes the queue.' }],
    options: [],
  });

  for (const name of Object.keys(settings)) t.match(help, `  ${name} `);
  t.match(
    help.replaceAll(/\s+/gu, ' '),
    /AMQP_CONNECTION .*Default: amqp:\/\/\*\*\*@127.0.0.1:5672\/\. Secret, also read from the file that AMQP_CONNECTION_FILE names\./u,
  );
  t.match(help, /SINK_NAME +Name\. Required\./u);
  t.match(help.replaceAll(/\s+/gu, ' '), /SINK_CONCURRENCY .*Default: 4\. Also read as SINK_HTTP_WORKERS\./u);
  t.match(help, /remove-queue +Removes the queue\./u);
  t.end();
});

void t.test('the help fits the terminal and is in groups', (t) => {
  const schema = {
    ...settings,
    SINK_TYPE: { doc: 'Destination.', format: text, default: null },
  } as const satisfies Schema;
  for (const [width, most] of [
    [undefined, 80],
    [72, 72],
    [400, 100],
    [10, 60],
  ] as const) {
    const help = formatHelp(schema, {
      service: 'hydrant-test',
      commands: [
        {
          name: 'doctor',
          doc: 'Asks everything that the service needs whether it works, and says so in a line each, with what to do.',
        },
      ],
      options: [],
      width,
    });
    const longest = help.split('\n').filter((line) => line.length > most && line.trim().includes(' '));
    t.same(longest, [], `within ${String(most)} columns`);
    t.match(help, /^RabbitMQ and bindings\n {2}AMQP_CONNECTION/mu);
    t.match(help.replaceAll(/\s+/gu, ' '), /listed when SINK_TYPE is set, as in `SINK_TYPE=http hydrant-test --help`/u);
  }
  t.match(
    formatCommandHelp(
      { name: 'send-test', doc: 'Sends an example.', help: '  --resolved  its end' },
      { service: 'hydrant-test' },
    ),
    /^Usage: hydrant-test send-test\n\nSends an example\.\n\n {2}--resolved {2}its end\n/u,
  );
  t.end();
});
