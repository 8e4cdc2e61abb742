/**
 * `make sabotage`: proves that the tests of the promises can fail. Each patch in e2e/sabotage breaks one promise in a
 * copy of the tree; the test that it names must pass without it and fail with it. Arguments: names of patches; none
 * means all. The last line is `N caught, N missed`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { provideTestServers } from './test-servers.mjs';

const folder = 'e2e/sabotage';
const say = (text) => process.stdout.write(`${text}\n`);

function run(cwd, command, ...args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
  return { isWell: status === 0, output: `${stdout}${stderr}` };
}

function must(cwd, command, ...args) {
  const { isWell, output } = run(cwd, command, ...args);
  if (!isWell)
    throw new Error(`Expected \`${command} ${args.join(' ')}\` to end well, it said:\n${output.slice(-3000)}`);
}

/**
 * Folders of the packages that the lock file knows: where two versions of one are needed, some of them have packages of
 * their own.
 */
function readWorkspaces() {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  return Object.keys(packages).filter((folder) => folder !== '' && !folder.includes('node_modules'));
}

/**
 * The committed and changed files of the tree, with its installed packages. Packages of the workspace are linked by
 * relative paths, so they resolve inside the copy.
 */
function copyTree() {
  const copy = mkdtempSync(join(tmpdir(), 'hydrant-sabotage-'));
  must(
    '.',
    'bash',
    '-c',
    `git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t ${copy} 2>/dev/null || true`,
  );
  must('.', 'cp', '-a', 'node_modules', copy);
  for (const packageFolder of readWorkspaces()) {
    const nested = join(packageFolder, 'node_modules');
    if (existsSync(nested)) symlinkSync(resolve(nested), join(copy, nested));
  }
  return copy;
}

function readPatch(name) {
  const text = readFileSync(join(folder, `${name}.patch`), 'utf8');
  const field = (key) => new RegExp(`^${key}: (.+)$`, 'mu').exec(text)?.[1];
  const [breaks, fails] = [field('Breaks'), field('Fails')];
  if (breaks === undefined || fails === undefined)
    throw new Error(
      `Expected ${folder}/${name}.patch to begin with the lines "Breaks: <promise>" and "Fails: <test file>"`,
    );
  return { name, breaks, fails, file: resolve(folder, `${name}.patch`) };
}

/** The first assertion of a report that failed, behind the tests around it, which fail with it and close after it. */
function findFailure(report) {
  const names = [];
  let within = Infinity;
  for (const [, indent, name] of report.matchAll(/^( +)not ok \d+ - (.*?)(?: # time=\S+)?(?: \{)?$/gmu)) {
    if (indent.length >= within) continue;
    within = indent.length;
    names.unshift(name);
  }
  const failure = names.length === 0 ? report.trim().split('\n').at(-1) : names.join(' > ');
  // n.b. some assertions quote whole logs.
  return failure.split('\n', 1)[0].slice(0, 300);
}

function runTest(copy, test) {
  must(copy, 'node_modules/.bin/tsc', '-b', 'tsconfig.build.json');
  const { isWell, output } = run(
    copy,
    process.execPath,
    'node_modules/.bin/tap',
    '--disable-coverage',
    '--bail',
    '--jobs=1',
    '--timeout=600',
    '--reporter=tap',
    test,
  );
  return { isWell, failed: findFailure(output) };
}

const wanted = process.argv.slice(2);
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.patch'))
  .map((file) => file.slice(0, -'.patch'.length));
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0)
  throw new Error(`Expected names of patches in ${folder} (${names.join(', ')}), got ${unknown.join(', ')}`);

if (await provideTestServers()) {
  const copy = copyTree();
  const unbroken = new Map();
  let missed = 0;
  try {
    for (const patch of names.filter((name) => wanted.length === 0 || wanted.includes(name)).map(readPatch)) {
      if (!unbroken.has(patch.fails)) {
        say(`        ${patch.fails} as it is, then with each patch`);
        unbroken.set(patch.fails, runTest(copy, patch.fails));
      }
      const before = unbroken.get(patch.fails);
      must(copy, 'git', 'apply', '--recount', patch.file);
      const after = before.isWell ? runTest(copy, patch.fails) : before;
      must(copy, 'git', 'apply', '--recount', '-R', patch.file);
      const isCaught = before.isWell && !after.isWell;
      if (!isCaught) missed += 1;
      const how = isCaught ? 'caught' : before.isWell ? 'MISSED' : 'MISSED (the test fails without it, too)';
      say(`${how}  ${patch.name}: ${patch.breaks}; ${patch.fails}${after.isWell ? '' : `: ${after.failed}`}`);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  say(`${(wanted.length === 0 ? names : wanted).length - missed} caught, ${missed} missed`);
  process.exitCode = missed === 0 ? 0 : 1;
} else process.exitCode = 1;
