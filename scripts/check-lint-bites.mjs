/**
 * Proves that the rules of eslint.config.js are alive: each probe is code that must be refused, linted in the place of
 * a file that exists. A rule that lost its settings or its resolver falls silent without a word; here it is missed by
 * name.
 */
import { existsSync } from 'node:fs';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { driverHomes, services, serviceOfServices, sharedLayers } from './boundaries.mjs';

/** One file per place, all of which must exist. */
const anyFile = 'services/firehose/src/config.ts';
const testFile = 'shared/src/foundation/json-scanner.test.ts';
const layerFiles = {
  foundation: 'shared/src/foundation/clock.ts',
  messages: 'shared/src/messages/message.ts',
  runtime: 'shared/src/runtime/component.ts',
  spool: 'shared/src/spool/spool.ts',
  redis: 'shared/src/redis/redis-client.ts',
  bus: 'shared/src/bus/bus.ts',
  state: 'shared/src/state/state-store.ts',
  delivery: 'shared/src/delivery/sink.ts',
};
const sinkFile = 'sinks/src/registry.ts';
const supportFile = 'testing/src/eventually.ts';
const mainOf = (service) => `services/${service}/src/main.ts`;

const paths = 'import-x/no-restricted-paths';
const drivers = '@typescript-eslint/no-restricted-imports';
const lines = (count, line) => `${line}\n`.repeat(count);
const importOf = (specifier) => `import '${specifier}';\n`;
const packageFile = (file) => file.replace(/^shared\/src\/(.*)\.ts$/u, '@hydrant/shared/$1');

/** `code` at `at` is refused by `rule`; with `refused: false` it is not. */
const probes = [
  { rule: '@typescript-eslint/no-floating-promises', at: anyFile, code: 'Promise.reject(new Error("lost"));' },
  {
    rule: '@typescript-eslint/no-floating-promises',
    at: testFile,
    code: 'import t from "tap";\nt.rejects(Promise.resolve());',
  },
  {
    rule: '@typescript-eslint/no-floating-promises',
    at: testFile,
    refused: false,
    code: 'import t from "tap";\nt.test("it passes", (t) => { t.end(); });',
  },
  {
    rule: '@typescript-eslint/no-misused-promises',
    at: anyFile,
    code: 'export const holder: { run(): void } = { async run() { await Promise.resolve(); } };\n[1].forEach(async () => { await Promise.resolve(); });',
  },
  {
    rule: '@typescript-eslint/no-explicit-any',
    at: anyFile,
    code: 'export function take(value: any): void { void value; }',
  },
  {
    rule: '@typescript-eslint/no-unsafe-member-access',
    at: anyFile,
    code: 'export const word = JSON.parse("{}").word as string;',
  },
  { rule: '@typescript-eslint/no-unused-vars', at: anyFile, code: 'const unused = 1;' },
  {
    rule: '@typescript-eslint/switch-exhaustiveness-check',
    at: anyFile,
    code: 'export function name(side: "left" | "right"): void { switch (side) { case "left": break; } }',
  },
  { rule: 'import-x/no-default-export', at: anyFile, code: 'export default 1;' },
  {
    rule: 'import-x/no-cycle',
    at: 'shared/src/foundation/errors.ts',
    code: 'import { permanent } from "../delivery/sink.ts";\nvoid permanent;',
  },
  { rule: 'import-x/no-extraneous-dependencies', at: anyFile, code: importOf('fastify') },
  { rule: 'import-x/no-extraneous-dependencies', at: anyFile, code: importOf('@hydrant/sinks/registry') },
  { rule: 'import-x/no-extraneous-dependencies', at: anyFile, code: importOf('@hydrant/testing/eventually') },
  {
    rule: 'import-x/no-extraneous-dependencies',
    at: testFile,
    refused: false,
    code: `${importOf('tap')}${importOf('@hydrant/testing/eventually')}`,
  },
  { rule: 'eqeqeq', at: anyFile, code: 'export const same = String(1) == "1";' },
  ...[
    'list.push(...list)',
    'list.unshift(0, ...list)',
    'Math.max(0, ...list)',
    'String.fromCharCode(...list)',
    '[0].concat(0, ...list)',
    'Math.max.apply(null, list)',
  ].flatMap((call) => [
    {
      rule: 'house/no-spread-into-call',
      at: anyFile,
      code: `export function all(list: number[]): unknown { return ${call}; }`,
    },
    {
      rule: 'house/no-spread-into-call',
      at: 'services/crashloop-detector/page/timeline.js',
      code: `export function all(list) { return ${call}; }`,
    },
    {
      rule: 'house/no-spread-into-call',
      at: testFile,
      refused: false,
      code: `export function all(list: number[]): unknown { return ${call}; }`,
    },
  ]),
  {
    rule: 'house/no-spread-into-call',
    at: anyFile,
    refused: false,
    code: 'export function all(list: number[]): number { return Math.max(...[1, 2], list.length); }',
  },
  { rule: 'no-console', at: anyFile, code: 'console.log("here");' },
  { rule: 'max-lines', at: anyFile, code: lines(361, 'void 0;') },
  { rule: 'max-lines', at: anyFile, refused: false, code: lines(351, '// a line') },
  { rule: 'max-lines', at: testFile, refused: false, code: lines(600, 'void 0;') },
  { rule: 'max-lines', at: testFile, code: lines(601, 'void 0;') },
  { rule: 'max-lines-per-function', at: anyFile, code: `export function long(): void {\n${lines(95, 'void 0;')}}` },
  { rule: 'no-restricted-properties', at: testFile, code: 'import t from "tap";\nt.testdir();' },
  { rule: 'no-restricted-globals', at: anyFile, code: 'setTimeout(() => undefined, 1);' },
  { rule: 'no-restricted-globals', at: anyFile, code: 'setInterval(() => undefined, 1);' },
  { rule: 'no-restricted-globals', at: testFile, code: 'setTimeout(() => undefined, 1);' },
  { rule: 'no-restricted-globals', at: layerFiles.foundation, refused: false, code: 'setTimeout(() => undefined, 1);' },
  { rule: 'no-restricted-properties', at: anyFile, code: 'export const now = Date.now();' },
  { rule: 'no-restricted-properties', at: anyFile, code: 'export const now = performance.now();' },
  { rule: 'no-restricted-properties', at: anyFile, code: 'export const limit = AbortSignal.timeout(1);' },
  { rule: 'no-restricted-properties', at: anyFile, code: 'export const home = process.env["HOME"];' },
  { rule: 'no-restricted-properties', at: anyFile, code: 'process.exit(1);' },
  { rule: 'no-restricted-properties', at: layerFiles.foundation, code: 'export const home = process.env["HOME"];' },
  {
    rule: 'no-restricted-properties',
    at: 'shared/src/runtime/run-service.ts',
    refused: false,
    code: 'process.exit(Number(process.env["CODE"]));',
  },
  {
    rule: 'no-restricted-properties',
    at: 'shared/src/runtime/config/load-config.ts',
    refused: false,
    code: 'export const home = process.env["HOME"];',
  },
  { rule: 'no-restricted-properties', at: 'shared/src/runtime/config/load-config.ts', code: 'process.exit(1);' },
  {
    rule: 'no-restricted-properties',
    at: testFile,
    code: 'import t from "tap";\nawait t.mockImport("./clock.ts", {});',
  },
  { rule: 'no-restricted-syntax', at: anyFile, code: 'export const now = new Date();' },
  {
    rule: 'no-restricted-syntax',
    at: anyFile,
    code: 'export class Box { private readonly value = 1; read(): number { return this.value; } }',
  },
  { rule: 'no-restricted-syntax', at: anyFile, code: 'export * from "./telemetry.ts";' },
  { rule: 'no-restricted-syntax', at: anyFile, code: 'export const one = (): number => 1;' },
  { rule: 'no-restricted-syntax', at: anyFile, refused: false, code: 'export const one: () => number = () => 1;' },
  {
    rule: 'no-restricted-syntax',
    at: testFile,
    code: 'import t from "tap";\nt.test("it should pass", (t) => { t.end(); });',
  },
  { rule: drivers, at: anyFile, code: importOf('node:timers/promises') },
  { rule: drivers, at: anyFile, code: importOf('node:process') },
  {
    rule: drivers,
    at: anyFile,
    code: 'import { createAmqpBus } from "@hydrant/shared/bus/amqp/amqp-bus";\nvoid createAmqpBus;',
  },
  {
    rule: drivers,
    at: 'services/firehose/src/source/open-stream.ts',
    code: 'import { createMemorySpool } from "@hydrant/shared/spool/memory-spool";\nvoid createMemorySpool;',
  },
  {
    rule: drivers,
    at: 'services/crashloop-detector/src/ledger/ledger.ts',
    code: 'import { createFileStateStore } from "@hydrant/shared/state/file/file-state-store";\nvoid createFileStateStore;',
  },
  {
    rule: drivers,
    at: anyFile,
    refused: false,
    code: 'import type { RedisClient } from "@hydrant/shared/redis/redis-client";\nexport type Client = RedisClient;',
  },
  {
    rule: drivers,
    at: mainOf('firehose'),
    refused: false,
    code: 'import { createAmqpBus } from "@hydrant/shared/bus/amqp/amqp-bus";\nvoid createAmqpBus;',
  },
  ...driverProbes(),
  ...borderProbes(),
];

function driverProbes() {
  return Object.entries(driverHomes).flatMap(([driver, homes]) => {
    const library = driver.replace('/*', '/client-s3');
    const stranger = { at: homes.some((home) => anyFile.startsWith(home)) ? layerFiles.messages : anyFile };
    return [
      { rule: drivers, ...stranger, code: importOf(library) },
      { rule: 'no-restricted-syntax', ...stranger, code: `await import('${library}');` },
      ...homes
        .filter((home) => home.endsWith('.ts'))
        .map((at) => ({ rule: drivers, at, refused: false, code: importOf(library) })),
    ];
  });
}

function borderProbes() {
  const layers = sharedLayers.flatMap((layer, height) =>
    layer.flatMap((folder) => {
      const forbidden = [...layer.filter((other) => other !== folder), ...sharedLayers.slice(height + 1).flat()];
      const allowed = sharedLayers.slice(0, height).flat();
      return [
        ...forbidden.map((other) => ({
          rule: paths,
          at: layerFiles[folder],
          code: importOf(packageFile(layerFiles[other])),
        })),
        ...allowed.map((other) => ({
          rule: paths,
          at: layerFiles[folder],
          refused: false,
          code: importOf(packageFile(layerFiles[other])),
        })),
      ];
    }),
  );
  const between = services.flatMap((service) => [
    ...[...services, serviceOfServices]
      .filter((other) => other !== service)
      .map((other) => ({ rule: paths, at: mainOf(service), code: importOf(`../../${other}/src/main.ts`) })),
    { rule: paths, at: mainOf(serviceOfServices), refused: false, code: importOf(`../../${service}/src/main.ts`) },
  ]);
  return [
    ...layers,
    ...between,
    { rule: paths, at: layerFiles.delivery, code: importOf('@hydrant/sinks/registry') },
    { rule: paths, at: sinkFile, code: importOf('@hydrant/firehose/config') },
    { rule: paths, at: anyFile, code: importOf('@hydrant/testing/eventually') },
    { rule: paths, at: anyFile, code: importOf('@hydrant/simulator/simulator') },
    { rule: paths, at: testFile, refused: false, code: importOf('@hydrant/testing/eventually') },
    { rule: paths, at: supportFile, code: importOf('@hydrant/firehose/config') },
  ];
}

/**
 * n.b. typescript-eslint reads files from the disk, not the text it is given, when it believes to run once (as under
 * CI=true).
 */
process.env.TSESTREE_SINGLE_RUN = 'false';
const withTypes = new ESLint();
/** Ten times as fast, for the rules that do without. */
const withoutTypes = new ESLint({ overrideConfig: tseslint.configs.disableTypeChecked });
const needsTypes = (rule) => rule.startsWith('@typescript-eslint/') && rule !== drivers;

/** Single imports into one place are linted together, each on its line; every other probe alone. */
function groupProbes() {
  const groups = new Map();
  for (const [number, probe] of probes.entries()) {
    const isImport = /^import '[^']+';\n$/u.test(probe.code) && !needsTypes(probe.rule);
    const key = isImport ? probe.at : number;
    groups.set(key, [...(groups.get(key) ?? []), probe]);
  }
  return [...groups.values()];
}

async function tryGroup(group) {
  const [{ at, rule: firstRule }] = group;
  if (!existsSync(at)) return [`${at} is gone: give the probe for ${firstRule} another place`];
  const code = group.map((probe) => probe.code).join('');
  const [{ messages }] = await (needsTypes(firstRule) ? withTypes : withoutTypes).lintText(code, { filePath: at });
  const fatal = messages.find((message) => message.fatal);
  if (fatal !== undefined) return [`${firstRule}: the probe in ${at} cannot be read: ${fatal.message}\n${code}`];
  return group.flatMap(({ rule, refused = true, code: line }, position) => {
    const bitten = messages.some(
      (message) =>
        message.ruleId === rule && message.severity === 2 && (group.length === 1 || message.line === position + 1),
    );
    return bitten === refused
      ? []
      : [
          `${rule}: expected this to be ${refused ? 'refused' : 'allowed'} in ${at}, it was ${refused ? 'allowed' : 'refused'}:\n${line}`,
        ];
  });
}

const failures = [];
for (const group of groupProbes()) failures.push(...(await tryGroup(group)));
process.stdout.write(
  failures.length === 0
    ? `Lint rules bite: ${probes.length} probes\n`
    : `${failures.join('\n\n')}\n\n${failures.length} of ${probes.length} probes failed\n`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
