/**
 * deploy/observability: each metric that a rule or a panel names is one that the code makes, each alert has its test
 * and its section in docs/observability.md, and promtool takes the configuration, the rules, their tests and every
 * expression of the dashboard. Where there is no promtool (Debian's package prometheus; PROMTOOL names another), one
 * line says so.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = 'deploy/observability';
const dashboards = join(folder, 'grafana/dashboards');
const promtool = process.env['PROMTOOL'] ?? 'promtool';
/** Of Prometheus, of prom-client, and of RabbitMQ's plugin, as `/metrics/detailed` has them. */
const foreign = new Set([
  'up',
  'process_start_time_seconds',
  'process_resident_memory_bytes',
  'process_cpu_seconds_total',
  'rabbitmq_detailed_queue_messages',
  'rabbitmq_detailed_queue_consumers',
]);
const problems = [];

const rules = readFileSync(join(folder, 'alerts.yml'), 'utf8');
const tests = readFileSync(join(folder, 'alerts.test.yml'), 'utf8');
const page = readFileSync('docs/observability.md', 'utf8');

function ownMetrics() {
  const names = new Set();
  for (const [, name, kind] of readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `([a-z_]+)` \| (\w+) \|/gmu)) {
    for (const suffix of kind === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) names.add(name + suffix);
  }
  return names;
}

/** The expressions of every panel and annotation. */
function expressionsOf(value) {
  if (typeof value !== 'object' || value === null) return [];
  const own = typeof value.expr === 'string' ? [value.expr] : [];
  return [...own, ...Object.values(value).flatMap(expressionsOf)];
}

function readDashboards() {
  return readdirSync(dashboards).map((file) => {
    const dashboard = JSON.parse(readFileSync(join(dashboards, file), 'utf8'));
    const ids = dashboard.panels.map(({ id }) => id);
    if (new Set(ids).size !== ids.length) problems.push(`${file}: Expected each panel to have an id of its own`);
    return { file, expressions: expressionsOf(dashboard) };
  });
}

function checkNames(file, text, known) {
  for (const [name] of text.matchAll(/\b(?:hydrant|rabbitmq|process|nodejs)_[a-z0-9_]+\b/gu)) {
    if (!known.has(name) && !foreign.has(name))
      problems.push(`${file}: names ${name}, which no program has; docs/metrics.md lists those that there are`);
  }
}

function checkAlerts() {
  const alerts = [...rules.matchAll(/- alert: (\w+)/gu)].map(([, name]) => name);
  const sections = new Set([...page.matchAll(/^### (Hydrant\w+)$/gmu)].map(([, name]) => name));
  for (const name of alerts) {
    if (!sections.delete(name))
      problems.push(
        `docs/observability.md: Expected a section "### ${name}" that says what the alert means and what to do`,
      );
    if (!tests.includes(`alertname: ${name}\n`)) problems.push(`${folder}/alerts.test.yml: Expected a test of ${name}`);
    if (!rules.includes(`runbook: docs/observability.md#${name.toLowerCase()}\n`))
      problems.push(`${folder}/alerts.yml: Expected ${name} to link to its section`);
  }
  for (const name of sections) problems.push(`docs/observability.md: tells of ${name}, which is no alert`);
}

function run(...args) {
  const { status, stdout, stderr } = spawnSync(promtool, args, { encoding: 'utf8' });
  if (status !== 0) problems.push(`promtool ${args.slice(0, 2).join(' ')} refuses: ${`${stderr}${stdout}`.trim()}`);
}

/** As rules of a file that is thrown away, so that Prometheus itself parses them. */
function checkExpressions({ file, expressions }) {
  const temporary = mkdtempSync(join(tmpdir(), 'hydrant-rules-'));
  const lines = expressions.map(
    (expr, at) =>
      `      - { record: "panel:${at}", expr: ${JSON.stringify(expr.replaceAll('$__rate_interval', '5m'))} }`,
  );
  const rulesFile = join(temporary, `${file}.yml`);
  writeFileSync(rulesFile, `groups:\n  - name: panels\n    rules:\n${lines.join('\n')}\n`);
  run('check', 'rules', rulesFile);
  rmSync(temporary, { recursive: true });
}

const known = ownMetrics();
const found = readDashboards();
checkNames('alerts.yml', rules, known);
checkNames('alerts.test.yml', tests, known);
for (const { file, expressions } of found) checkNames(file, expressions.join('\n'), known);
checkAlerts();
const hasPromtool = spawnSync(promtool, ['--version'], { stdio: 'ignore' }).status === 0;
if (hasPromtool) {
  run('check', 'config', join(folder, 'prometheus.yml'));
  run('test', 'rules', join(folder, 'alerts.test.yml'));
  found.forEach(checkExpressions);
}
const parsedBy = hasPromtool
  ? 'parsed and tested by promtool'
  : "parsing and tests of rules skipped: promtool is not there; it comes with Debian's package prometheus";
process.stdout.write(
  problems.length === 0 ? `Rules and dashboard are in order (${parsedBy})\n` : `${problems.join('\n')}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
