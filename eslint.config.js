/**
 * The rules of the house. Borders come from scripts/boundaries.mjs; scripts/check-lint-bites.mjs proves that each rule
 * is alive. n.b. a later object replaces a rule's options, it does not add to them: so rules with options per place are
 * built whole for each place.
 */
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import * as importX from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';
import {
  adapterModules,
  driverHomes,
  environmentHomes,
  exitHomes,
  foreignDrivers,
  makeZones,
  services,
  supportPackages,
  testFiles,
  timeHomes,
  workspaces,
} from './scripts/boundaries.mjs';

const sources = ['**/*.ts'];
const inside = (place) => (place.endsWith('.ts') ? place : `${place}/**/*.ts`);
const support = supportPackages.map(inside);

const timerMessage = 'Time and timers come from the Clock port (shared/src/foundation/clock.ts)';
const environmentMessage = 'Settings come from loadConfig; only load-config.ts and run-service.ts read the environment';
const exitMessage = 'Only run-service.ts ends the process';

const timeProperties = [
  { object: 'Date', property: 'now', message: timerMessage },
  { object: 'performance', property: 'now', message: timerMessage },
  { object: 'AbortSignal', property: 'timeout', message: timerMessage },
];
const environmentProperties = [{ object: 'process', property: 'env', message: environmentMessage }];
const exitProperties = [{ object: 'process', property: 'exit', message: exitMessage }];
const everywhereProperties = [
  { property: 'mockImport', message: 'Give the component a fake of its port instead' },
  { object: 't', property: 'testdir', message: 'testFolder of @hydrant/testing lets the teardowns run before it goes' },
];
const timers = ['setTimeout', 'setInterval'].map((name) => ({ name, message: timerMessage }));

const timerModules = ['timers', 'timers/promises', 'node:timers', 'node:timers/promises'].map((name) => ({
  name,
  message: timerMessage,
}));
const processModules = ['process', 'node:process'].map((name) => ({
  name,
  message: 'Use the global process, where the rules can see it',
}));

/** A function at the top of a file is declared, unless its type stands beside its name. */
const arrowConstant =
  'VariableDeclaration > VariableDeclarator:not([id.typeAnnotation]) > ArrowFunctionExpression.init';
const shapeOfCode = [
  {
    selector: ':matches(PropertyDefinition, MethodDefinition[kind!="constructor"])[accessibility=/private|protected/]',
    message: 'Use #private',
  },
  { selector: 'ExportAllDeclaration', message: 'No barrels: import from the file that has it' },
  {
    selector: `Program > ${arrowConstant}, Program > ExportNamedDeclaration > ${arrowConstant}`,
    message: 'Declare functions with `function`',
  },
  {
    selector: 'CallExpression[callee.property.name="test"] > Literal:first-child[value=/\\bshould\\b/i]',
    message: 'A test is named after what happens, without "should"',
  },
];
const currentTime = [{ selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: timerMessage }];

/** Tests and the programs around Hydrant know how much they have. */
const house = {
  rules: {
    'no-spread-into-call': {
      create: (context) => ({
        [[
          'CallExpression[callee.property.name=/^(push|unshift|splice|concat|max|min|fromCharCode|fromCodePoint)$/] > SpreadElement.arguments:not([argument.type="ArrayExpression"])',
          'CallExpression[callee.property.name="apply"][callee.object.type="MemberExpression"]',
        ].join(', ')](node) {
          context.report({
            node,
            message: 'A call takes about 100,000 arguments, and input may bring more: use a loop or reduce()',
          });
        },
      }),
    },
  },
};

const adapters = {
  group: adapterModules,
  allowTypeImports: true,
  message: 'Only main.ts names adapters: take the port as an argument',
};

/** Static imports by one rule, `import()` by the other, from the same list. */
function importRules(place, { modules, syntax, patterns = [] }) {
  const foreign = foreignDrivers(place);
  const messageOf = ({ driver, homes }) => `${driver} has its home in ${homes.join(', ')}: go through the port there`;
  return {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        paths: [
          ...modules,
          ...foreign
            .filter(({ driver }) => !driver.endsWith('/*'))
            .map((entry) => ({ name: entry.driver, message: messageOf(entry) })),
        ],
        patterns: [
          ...patterns,
          ...foreign.map((entry) => ({
            group: [entry.driver.endsWith('/*') ? entry.driver : `${entry.driver}/*`],
            message: messageOf(entry),
          })),
        ],
      },
    ],
    'no-restricted-syntax': [
      'error',
      ...syntax,
      ...foreign.map((entry) => ({
        selector: `ImportExpression > Literal[value=/^${entry.driver.replace(/\/\*$/u, '').replaceAll('/', '\\/')}(\\/|$)/]`,
        message: messageOf(entry),
      })),
    ],
  };
}

const strict = { modules: [...timerModules, ...processModules], syntax: [...shapeOfCode, ...currentTime] };

export default tseslint.config(
  { ignores: ['**/dist/', '**/node_modules/', '.tap/', 'fixtures/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: sources,
    extends: [tseslint.configs.recommendedTypeChecked],
    plugins: { 'import-x': importX, house },
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    settings: {
      // n.b. no-cycle is silent on TypeScript without this.
      'import-x/extensions': ['.ts'],
      'import-x/resolver-next': [
        createTypeScriptImportResolver({
          project: './tsconfig.json',
          conditionNames: ['hydrant-source', 'types', 'import', 'node', 'default'],
        }),
      ],
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafePromises: [{ from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' }] },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Ports are made of closures that need no `this`, and interfaces write them as methods.
      '@typescript-eslint/unbound-method': 'off',
      'import-x/no-cycle': 'error',
      'import-x/no-default-export': 'error',
      'import-x/no-restricted-paths': ['error', { zones: makeZones({ forTests: false }) }],
      eqeqeq: 'error',
      'house/no-spread-into-call': 'error',
      'no-console': 'error',
      'max-lines': ['error', { max: 360, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 95, skipBlankLines: true, skipComments: true }],
      'no-restricted-globals': ['error', ...timers],
      'no-restricted-properties': [
        'error',
        ...timeProperties,
        ...environmentProperties,
        ...exitProperties,
        ...everywhereProperties,
      ],
      ...importRules('', strict),
    },
  },
  {
    files: services.map((service) => inside(`services/${service}`)),
    ignores: ['services/*/src/main.ts', ...testFiles],
    rules: importRules('', { ...strict, patterns: [adapters] }),
  },
  // Libraries at home.
  ...[...new Set(Object.values(driverHomes).flat())].sort().map((home) => ({
    files: [inside(home)],
    rules: importRules(home, home.startsWith('services/') ? { ...strict, patterns: [adapters] } : strict),
  })),
  // Time, environment and exit at home.
  {
    files: timeHomes,
    rules: {
      'no-restricted-globals': 'off',
      'no-restricted-properties': ['error', ...environmentProperties, ...exitProperties, ...everywhereProperties],
      ...importRules('', { ...strict, syntax: shapeOfCode }),
    },
  },
  {
    files: environmentHomes,
    rules: { 'no-restricted-properties': ['error', ...timeProperties, ...exitProperties, ...everywhereProperties] },
  },
  { files: exitHomes, rules: { 'no-restricted-properties': ['error', ...everywhereProperties] } },
  {
    files: testFiles,
    rules: {
      'import-x/no-restricted-paths': ['error', { zones: makeZones({ forTests: true }) }],
      'max-lines': ['error', { max: 600, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': 'off',
      // Fakes of ports are objects of small async functions.
      '@typescript-eslint/require-await': 'off',
      'house/no-spread-into-call': 'off',
      'no-restricted-properties': [
        'error',
        ...timeProperties.filter(({ object }) => object === 'AbortSignal'),
        ...exitProperties,
        ...everywhereProperties,
      ],
    },
  },
  // Programs around Hydrant: they look at it from outside, with clocks and drivers of their own.
  {
    files: support,
    rules: {
      '@typescript-eslint/no-restricted-imports': 'off',
      'no-console': 'off',
      'house/no-spread-into-call': 'off',
      'no-restricted-globals': 'off',
      'no-restricted-properties': ['error', ...everywhereProperties],
      'no-restricted-syntax': ['error', ...shapeOfCode],
    },
  },
  // A package's own package.json counts, and the root's for tools that only tests use.
  ...workspaces.map((workspace) => ({
    files: [`${workspace}/**/*.ts`],
    rules: {
      'import-x/no-extraneous-dependencies': [
        'error',
        { packageDir: [`./${workspace}`, '.'], devDependencies: testFiles, includeInternal: true, includeTypes: true },
      ],
    },
  })),
  {
    files: ['*.js', 'scripts/**/*.mjs', 'services/*/page/*.js'],
    rules: {
      eqeqeq: 'error',
      'no-undef': 'off',
      'no-unused-vars': 'error',
      'max-lines': ['error', { max: 350, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 95, skipBlankLines: true, skipComments: true }],
    },
  },
  { files: ['services/*/page/*.js'], plugins: { house }, rules: { 'house/no-spread-into-call': 'error' } },
);
