/**
 * docs/metrics.md, from the places in the code that make a metric: calls of `counter`, `gauge` and `histogram` with a
 * name that can be read there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { services, serviceOfServices } from '../boundaries.mjs';

const head = `# Metrics

Generated from the code by \`make docs\`; \`make check\` refuses it when it is stale. Each program serves them at \`/metrics\` of its admin server,
together with Node.js' own and \`hydrant_build_info\`. Times are in seconds, sizes in bytes; no label holds the id of a job or an allocation.

| metric | kind | labels | |
|---|---|---|---|
`;
const kinds = new Set(['counter', 'gauge', 'histogram']);

/** What ships, without its tests. */
export function sourceFiles() {
  const folders = ['shared', 'sinks', ...[...services, serviceOfServices].map((name) => `services/${name}`)].map(
    (folder) => join(folder, 'src'),
  );
  return folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true })
        .filter((file) => file.endsWith('.ts') && !/\.test\.ts$|-contract\.ts$/u.test(file))
        .map((file) => join(folder, file)),
    );
}

/** Constants of a file that hold text, for names such as `${prefix}_total`. */
function readConstants(source) {
  const constants = new Map();
  const visit = (node) => {
    if (
      ts.isVariableDeclaration(node) &&
      ts.isIdentifier(node.name) &&
      node.initializer !== undefined &&
      ts.isStringLiteralLike(node.initializer)
    )
      constants.set(node.name.text, node.initializer.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return constants;
}

function readText(node, constants) {
  if (node === undefined) return undefined;
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isIdentifier(node)) return constants.get(node.text);
  if (!ts.isTemplateExpression(node)) return undefined;
  const parts = node.templateSpans.map((span) => [readText(span.expression, constants), span.literal.text]);
  return parts.some(([text]) => text === undefined) ? undefined : node.head.text + parts.flat().join('');
}

function readMetric(call, constants, place) {
  const [options] = call.arguments;
  if (options === undefined || !ts.isObjectLiteralExpression(options)) return undefined;
  const value = (name) =>
    options.properties.find((property) => ts.isPropertyAssignment(property) && property.name.getText() === name)
      ?.initializer;
  const name = readText(value('name'), constants);
  if (name === undefined)
    throw new Error(`Expected the metric made in ${place} to have a name that can be read from the code`);
  const labels = value('labels');
  return {
    name,
    kind: call.expression.name.text,
    help: (readText(value('help'), constants) ?? '').replace(/\.$/u, ''),
    labels:
      labels !== undefined && ts.isArrayLiteralExpression(labels)
        ? labels.elements.map((label) => readText(label, constants))
        : [],
  };
}

function readMetrics(file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const constants = readConstants(source);
  const metrics = [];
  const visit = (node) => {
    if (
      ts.isCallExpression(node) &&
      ts.isPropertyAccessExpression(node.expression) &&
      kinds.has(node.expression.name.text)
    ) {
      const metric = readMetric(node, constants, file);
      if (metric !== undefined) metrics.push(metric);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return metrics;
}

export function makeMetricsPage() {
  const metrics = sourceFiles()
    .flatMap(readMetrics)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const unique = metrics.filter(({ name }, at) => metrics.findIndex((other) => other.name === name) === at);
  return (
    head +
    unique
      .map(
        ({ name, kind, labels, help }) =>
          `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |\n`,
      )
      .join('')
  );
}
