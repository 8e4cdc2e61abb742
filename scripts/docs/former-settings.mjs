/** Every setting that the replaced programs have, by the page that says what became of it. */
const nomad = (names) => names.map((name) => `NOMAD_${name}`);
const nomadClient = ['ADDR', 'REGION', 'NAMESPACE', 'TOKEN', 'HTTP_AUTH', 'CACERT', 'CAPATH', 'CLIENT_CERT', 'CLIENT_KEY', 'SKIP_VERIFY'];
const sink = (names) => names.map((name) => `SINK_${name}`);

export const formerSettings = {
  'docs/moving-from-nomad-events-sink.md': [
    '--config', 'NOMAD_EVENTS_SINK_', 'app.log', 'app.data_dir', 'app.commit_index_interval', 'stream.topics', 'stream.max_reconnect_attempts',
    'sinks.batch.workers', 'sinks.batch.queue_size', 'sinks.batch.idle_timeout', 'sinks.batch.events_count',
    'sinks.http.root_url', 'sinks.http.timeout', 'sinks.http.max_idle_conns', 'sinks.http.healthcheck.enabled', 'sinks.http.healthcheck.url', 'sinks.http.healthcheck.status',
    'sinks.http.username', 'sinks.http.password', 'sinks.http.external_labels', ...nomad([...nomadClient, 'TLS_SERVER_NAME']),
  ],
  'docs/moving-from-nomad-firehose.md': [
    'allocations', 'nodes', 'evaluations', 'jobs', 'jobliststubs', 'deployments', '--log-level', 'LOG_LEVEL', '--log-format', 'LOG_FORMAT',
    'SINK_TYPE', 'NOMAD_FIREHOSE_CONSUL_PREFIX', ...nomad(nomadClient),
    'CONSUL_HTTP_ADDR', 'CONSUL_HTTP_TOKEN', 'CONSUL_HTTP_AUTH', 'CONSUL_HTTP_SSL', 'CONSUL_HTTP_SSL_VERIFY',
    'CONSUL_CACERT', 'CONSUL_CAPATH', 'CONSUL_CLIENT_CERT', 'CONSUL_CLIENT_KEY', 'CONSUL_TLS_SERVER_NAME', 'AWS_REGION', 'AWS_ACCOUNT_ID',
    ...sink([
      'AMQP_CONNECTION', 'AMQP_EXCHANGE', 'AMQP_ROUTING_KEY', 'AMQP_WORKERS', 'HTTP_ADDRESS', 'WORKER_COUNT',
      'KAFKA_BROKERS', 'KAFKA_TOPIC', 'KAFKA_CA_CERT_PATH', 'KAFKA_USER', 'KAFKA_PASSWORD', 'KINESIS_STREAM_NAME', 'KINESIS_PARTITION_KEY',
      'MONGODB_CONNECTION', 'MONGODB_DATABASE', 'MONGODB_COLLECTION', 'MONGODB_WORKERS', 'NSQ_ADDR', 'NSQ_TOPIC_NAME', 'REDIS_URL', 'REDIS_KEY',
      'SQS_QUEUE_NAME', 'EVENT_BUS_NAME', 'EVENT_BUS_DETAIL_TYPE', 'EVENT_BUS_SOURCE', 'SYSLOG_PROTO', 'SYSLOG_ADDR', 'SYSLOG_TAG',
    ]),
  ],
  'docs/moving-from-nomad-crashloop-detector.md': [
    'RESTART_COUNT', 'RESTART_INTERVAL', 'NOTIFICATION_INTERVAL', 'AMQP_CONNECTION', 'AMQP_QUEUE',
    ...sink(['TYPE', 'AMQP_CONNECTION', 'AMQP_EXCHANGE', 'AMQP_ROUTING_KEY', 'AMQP_WORKERS', 'KINESIS_STREAM_NAME', 'KINESIS_PARTITION_KEY']),
  ],
};
