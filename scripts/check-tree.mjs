/**
 * Looks at the tree as text: budgets of what ESLint does not read, traces of one machine, links that lead nowhere,
 * pages that no link leads to, patches that do not apply, numbers that nobody measured. Reads what git tracks and what
 * it would track.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));
const problems = [];

/** Text that must not stand anywhere, but for files that have to name it. */
const forbidden = [
  // n.b. written so that this file does not match itself.
  { pattern: /(?:^|[^a-z.\w])\/(?:work|farm|root|tmp|home\/[a-z]+|Users\/[a-z]+)\//mu, what: 'a path of one machine' },
  { pattern: /registr[y]\.(?:npm[j]s|yarn[p]kg)\.|"resolve[d]": "http/u, what: 'the host of a package registry' },
  { pattern: /^(?:<{7}|>{7}) /mu, what: 'a merge conflict' },
  {
    pattern: /\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/u,
    what: 'a note to oneself; write TODO with the number of its issue, or do it',
  },
];
const mayNameForbidden = new Set(['scripts/check-tree.mjs', 'CONTRIBUTING.md']);
const lineBudgets = { lua: 300, sh: 300, mjs: 300, py: 300 };

function isText(file) {
  return !/\.(?:gz|png|ico|woff2?)$/u.test(file);
}

function lineOf(text, offset) {
  return text.slice(0, offset).split('\n').length;
}

function checkText(file, text) {
  const budget = lineBudgets[file.split('.').at(-1)];
  const lines = text.split('\n').length - 1;
  if (budget !== undefined && lines > budget)
    problems.push(`${file}: ${lines} lines, the budget is ${budget}: split it along what it does`);
  if (mayNameForbidden.has(file)) return;
  for (const { pattern, what } of forbidden) {
    const match = pattern.exec(text);
    if (match !== null) problems.push(`${file}:${lineOf(text, match.index + match[0].length)}: ${what}`);
  }
}

/** Relative links of a Markdown file, as paths from the root; code and headings within a page are left out. */
function linksOf(file, text) {
  const prose = text.replace(/```[\s\S]*?```/gu, '').replace(/`[^`\n]*`/gu, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/gu)]
    .map(([, target]) => target.split('#')[0])
    .filter((target) => target !== '' && !/^[a-z]+:/u.test(target))
    .map((target) => normalize(join(dirname(file), decodeURI(target))).replace(/\/$/u, ''));
}

function checkLinks(pages) {
  const links = new Map([...pages].map(([file, text]) => [file, linksOf(file, text)]));
  for (const [file, targets] of links) {
    for (const target of targets.filter((path) => !existsSync(path)))
      problems.push(`${file}: links to ${target}, which does not exist`);
  }
  const reached = new Set(['README.md']);
  for (const file of reached) for (const target of links.get(file) ?? []) reached.add(target);
  for (const file of files.filter((path) => path.startsWith('docs/'))) {
    if (!reached.has(file)) problems.push(`${file}: no link leads here from README.md; add it to docs/README.md`);
  }
}

function checkLockFile() {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (typeof entry.resolved === 'string' && entry.resolved.startsWith('http'))
      problems.push(`package-lock.json: ${path} names a host; run "npm install" with the project's .npmrc`);
  }
}

/** A patch that the code has left behind proves nothing any more, and `make sabotage` is not run at each change. */
function checkPatches() {
  for (const file of files.filter((path) => path.endsWith('.patch'))) {
    const { status } = spawnSync('git', ['apply', '--check', '--recount', file], { stdio: 'ignore' });
    if (status !== 0) problems.push(`${file}: does not apply any more; make it anew from what the code says now`);
  }
}

/** What the README says in bold of how fast it is has been measured. */
function checkNumbers() {
  const results = readFileSync('bench/results.md', 'utf8');
  const [, said = ''] = readFileSync('README.md', 'utf8').split('## How fast', 2);
  for (const [, number] of said.split('\n## ', 1)[0].matchAll(/\*\*([\d.,]+)\*\*/gu)) {
    if (!new RegExp(`(?<![\\d.,])${number.replaceAll('.', '\\.')}(?![\\d.,]*\\d)`, 'u').test(results))
      problems.push(`README.md: says ${number}, which bench/results.md does not`);
  }
}

const pages = new Map();
for (const file of files.filter(isText)) {
  const text = readFileSync(file, 'utf8');
  checkText(file, text);
  if (file.endsWith('.md')) pages.set(file, text);
}
checkLinks(pages);
checkLockFile();
checkPatches();
checkNumbers();
process.stdout.write(
  problems.length === 0 ? `The tree is in order: ${files.length} files\n` : `${problems.join('\n')}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
