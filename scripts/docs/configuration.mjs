/** docs/configuration.md, from the settings that the services and sinks declare. Reads dist: build first. */
import { existsSync } from 'node:fs';
import { register } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import { services, serviceOfServices } from '../boundaries.mjs';

const head = `# Configuration

Generated from the code by \`make docs\`; \`make check\` refuses it when it is stale.

A setting is an environment variable, or a key of the TOML or JSON file that \`CONFIG_FILE\` names; the environment comes first. A setting marked
*secret* may also be read from a file: \`<NAME>_FILE\` holds its path. Durations are written as Go writes them (\`500ms\`, \`25s\`, \`1h30m\`), sizes with
a unit (\`4096\`, \`256MiB\`, \`1GB\`). What is wrong is reported all at once, with exit code 78, before anything is connected.

The line break at the end of a secret does not belong to it. In the user and password of an address write \`/\`, \`?\`, \`#\`, \`@\`, \`%\` and blanks as \`%2F\`, \`%3F\`, \`%23\`, \`%40\`, \`%25\` and \`%20\`.

Patterns of routing keys (\`AMQP_BINDINGS\`) are checked: one that begins with \`event\`, or that looks like a slip of what Hydrant publishes (\`Allocation\`, \`events.#\`, \`event.*.*.prod\`), is refused when no message
of Hydrant can match it. Every other key is taken, since alerts may have any key and others may publish to the same exchange. A key of others that looks like a slip is bound with a wildcard in
front: \`#.Allocation\` matches \`Allocation\`.

\`--help\` lists a program's settings, \`--check-config\` checks them, \`--print-config\` prints what is in force with secrets masked ([commands.md](commands.md)).
`;

/** The declaration of each service that has been built: what its main hands to runService. */
export async function captureServices() {
  register('./capture-hooks.mjs', import.meta.url);
  const { captured } = await import('./captured-service.mjs');
  const declarations = new Map();
  for (const name of [...services, serviceOfServices]) {
    const main = new URL(`../../services/${name}/dist/main.js`, import.meta.url);
    if (!existsSync(main)) throw new Error(`Expected services/${name} to be built, run "make build" first`);
    await import(main.href);
    const service = captured.pop();
    if (service === undefined) throw new Error(`Expected services/${name}/src/main.ts to call runService, it did not`);
    const schema = typeof service.schema === 'function' ? service.schema(() => undefined, {}) : service.schema;
    declarations.set(name, schema);
  }
  return declarations;
}

/** Read and checked by services/standalone/src/config.ts; its test takes this very example. */
const sinkTables = `### Several sinks

In the file that \`CONFIG_FILE\` names, each \`[[sink]]\` table is one sink; \`SINK_TYPE\` and the settings of sinks in the environment are not read then. The other settings stand at the
top of the file, before the first table, or in the environment; those that sinks share with the process (\`NOMAD_UI_URL\`, \`HTTPS_PROXY\`, \`AMQP_CONNECTION\` and so on) hold for every table that does not set them itself:

\`\`\`toml
nomad_addr = "https://nomad.example:4646"
restart_count = 3

[[sink]]
name = "archive"
type = "s3"
bucket = "nomad-events"
region = "eu-central-1"
batch_age = "10m"

[[sink]]
name = "jobs"
type = "http"
bindings = ["event.Job.#", "event.Deployment.#"]
address = "https://collector.example/events"
bearer_token_file = "/run/secrets/token"

[[sink]]
type = "slack"
webhook_url_file = "/run/secrets/slack"
\`\`\`

| key | |
|---|---|
| \`type\` | As \`SINK_TYPE\`. Required |
| \`name\` | As \`SINK_NAME\`: in metrics and logs, and of its cursor in the log on disk. Each table needs another; without one it is the type |
| \`bindings\` | As \`AMQP_BINDINGS\`: patterns of routing keys. Without them every event, and to \`slack\` and \`pagerduty\` the alerts |
| every other | A setting of the sink or of its delivery, in full (\`SINK_S3_BUCKET\`, \`sink_batch_age\`) or without what its name begins with: \`bucket\` in a table of type \`s3\` is \`SINK_S3_BUCKET\`, \`batch_age\` is \`SINK_BATCH_AGE\`. Secrets also as \`…_file\` |

In JSON the same is \`{"sink": [{"type": "s3", "bucket": "nomad-events"}]}\`. A sink that is taken out of the file keeps its cursor, and the log all that the
sink has not had: stop the program and delete its line (\`hydrant.sink.<name>\`) from \`log/cursors.json\` in \`DATA_DIR\`, or the log fills up to \`FIREHOSE_SPOOL_MAX_BYTES\` and everything waits.

Who comes from nomad-events-sink starts with its file: [moving-from-nomad-events-sink.md](moving-from-nomad-events-sink.md).
`;

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function describeDefault({ default: value, required, example }) {
  const shown = value === '' ? 'empty' : `\`${value}\``;
  const text = value === null ? (required ? 'required' : 'none') : shown;
  return example === undefined ? text : `${text}, such as \`${example}\``;
}

function describeSetting([name, setting]) {
  const notes = [
    ...(setting.sensitive ? ['*secret*'] : []),
    ...(setting.aliases?.length > 0
      ? [`also read as ${setting.aliases.map((alias) => `\`${alias}\``).join(', ')}`]
      : []),
  ];
  return `| \`${name}\` | ${cell([setting.doc, ...notes].join(' · '))} | ${cell(setting.format.name)} | ${cell(describeDefault(setting))} |\n`;
}

function table(settings) {
  return settings.length === 0
    ? 'None of its own.\n'
    : `| setting | | kind | default |\n|---|---|---|---|\n${settings.map(describeSetting).join('')}`;
}

/** Compared by what a page shows of it: parse functions are made anew for each schema. */
function isSame(one, other) {
  const shown = (setting) => setting && { ...setting, format: setting.format.name };
  return isDeepStrictEqual(shown(one), shown(other));
}

/** The definition of each sink that has been built. */
export async function readSinks() {
  const { findSink, sinkTypes } = await import('../../sinks/dist/registry.js');
  return sinkTypes.map(findSink);
}

export function makeConfigurationPage(declarations, sinks) {
  const [first, ...others] = declarations.values();
  const common = Object.entries(first).filter(([name, setting]) =>
    others.every((schema) => isSame(schema[name], setting)),
  );
  const commonNames = new Set(common.map(([name]) => name));
  const sections = [`## Every service\n\n${table(common)}`];
  for (const [name, schema] of declarations) {
    sections.push(`## ${name}\n\n${table(Object.entries(schema).filter(([setting]) => !commonNames.has(setting)))}`);
    if (name === serviceOfServices) sections.push(sinkTables);
  }
  for (const { type, defaults, settings } of sinks)
    sections.push(`## Sink \`${type}\`\n\n${describeBatches(defaults)}\n\n${table(Object.entries(settings))}`);
  return [head, ...sections].join('\n');
}

function describeBatches({ batchEvents, batchBytes, batchAgeMs }) {
  const count =
    batchEvents === null
      ? 'any number of messages'
      : `at most ${batchEvents} ${batchEvents === 1 ? 'message' : 'messages'}`;
  return `A batch has ${count} and at most ${batchBytes} bytes, and waits at most ${batchAgeMs / 1000} s to fill.`;
}
