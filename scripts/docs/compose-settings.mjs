/**
 * deploy/compose/settings.yml: hands the variables of the shell or of .env to the services that know them. Made from
 * what the services and sinks declare, so that no setting is silently left behind. docker-compose.yml extends it and
 * gives the values that belong to the suite.
 */

const head = `# Generated from the code by \`make docs\`; \`make check\` refuses it when it is stale. A name without a value is handed on as it is set in the shell or in .env.
services:
`;

/** Given by the images, of no use in a container, or at odds with a value that docker-compose.yml gives. */
const notHandedOn = new Set([
  'HTTP_HOST',
  'HTTP_PORT',
  'CONFIG_FILE',
  'DATA_DIR',
  'AMQP_CONNECTION_FILE',
  'REDIS_URL_FILE',
]);
/** What the Amazon clients read by themselves. */
const awsVariables = ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

/** The variables of a schema, with those that name the files of secrets. */
function variablesOf(schema) {
  const names = Object.entries(schema).flatMap(([name, { sensitive, aliases = [] }]) =>
    [name, ...aliases].flatMap((each) => (sensitive === true ? [each, `${each}_FILE`] : [each])),
  );
  return names.filter((name) => !notHandedOn.has(name));
}

/** Settings of one worker: two workers on one machine have to be told apart. */
function isOfOneWorker(name) {
  return name.startsWith('SINK_') || name === 'AMQP_QUEUE' || name === 'AMQP_BINDINGS';
}

function service(name, lines) {
  return `  ${name}:\n    environment:\n${[...new Set(lines)].map((line) => `      ${line}\n`).join('')}`;
}

const handOn = (name) => `${name}:`;

/** `declarations` are the schemas by service, `sinkSchemas` those of each sink. */
export function makeComposeSettings(declarations, sinkSchemas) {
  const ofSinkWorker = [declarations.get('sink-worker'), ...sinkSchemas].flatMap(variablesOf);
  return (
    head +
    [
      service('firehose', variablesOf(declarations.get('firehose')).map(handOn)),
      service('sink-worker', [...ofSinkWorker, ...awsVariables].map(handOn)),
      service('alerts', [
        ...ofSinkWorker.map((name) => (isOfOneWorker(name) ? `${name}: \${ALERT_${name}:-}` : handOn(name))),
        ...awsVariables.map(handOn),
      ]),
      // Its alerts go to the exchange, where the alerts worker takes them up.
      service(
        'crashloop-detector',
        variablesOf(declarations.get('crashloop-detector'))
          .filter((name) => !isOfOneWorker(name))
          .map(handOn),
      ),
    ].join('')
  );
}
