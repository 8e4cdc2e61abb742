/**
 * Holds pages that people write to the code: every setting of the replaced programs has its row, what a row or an
 * example names exists, and the error codes and metrics are those of the sources.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formerSettings } from './former-settings.mjs';
import { sourceFiles } from './metrics.mjs';

const read = (file) => readFileSync(file, 'utf8');
const codeWords = (text) => [...text.matchAll(/`([^`\n]+)`/gu)].map(([, word]) => word);
/** Rows of the tables of a page, each as its cells. */
const rowsOf = (page) =>
  page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split(/(?<!\\)\|/u)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

function namesOf(schemas) {
  const settings = schemas.flatMap((schema) => Object.entries(schema));
  return new Set(
    settings.flatMap(([name, { aliases = [], sensitive }]) =>
      [name, ...aliases].flatMap((each) => (sensitive ? [each, `${each}_FILE`] : [each])),
    ),
  );
}

/**
 * Each old setting stands in the first column of its page's table; what the second column names is a setting of ours.
 */
function checkMoving(known) {
  const problems = [];
  for (const [page, former] of Object.entries(formerSettings)) {
    const rows = rowsOf(read(page));
    const told = new Set(rows.flatMap(([old]) => codeWords(old)));
    problems.push(...former.filter((name) => !told.has(name)).map((name) => `${page}: has no row for ${name}`));
    const ours = rows
      .filter(([old]) => codeWords(old).some((word) => former.includes(word)))
      .flatMap(([, now]) => codeWords(now))
      .filter((word) => !word.includes('…'))
      .map((word) => word.split('=')[0]);
    problems.push(
      ...ours.filter((name) => !known.has(name)).map((name) => `${page}: names ${name}, which is no setting`),
    );
  }
  return problems;
}

/** Where the code of an error is written: `code: …`, a call of `make`, a function whose name says that it gives one. */
const codePlaces = /\bcode: [^,\n]*|\bmake\(\s*'[^']*'|^(?:export )?function \w*[cC]ode\w*\([\s\S]*?^\}/gmu;

function errorCodes() {
  const places = sourceFiles().flatMap((file) => read(file).match(codePlaces) ?? []);
  return new Set(places.flatMap((place) => [...place.matchAll(/'([a-z]+(?:-[a-z]+)+)'/gu)].map(([, code]) => code)));
}

function checkErrors() {
  const page = 'docs/errors.md';
  const told = new Set(rowsOf(read(page)).flatMap(([code]) => codeWords(code)));
  const codes = errorCodes();
  return [
    ...[...codes].filter((code) => !told.has(code)).map((code) => `${page}: has no row for ${code}`),
    ...[...told].filter((code) => !codes.has(code)).map((code) => `${page}: ${code} is no code of the sources`),
  ];
}

function checkMetrics() {
  const page = 'docs/operations.md';
  const metrics = read('docs/metrics.md');
  return codeWords(read(page))
    .filter((word) => word.startsWith('hydrant_') && !metrics.includes(`| \`${word}\` |`))
    .map((name) => `${page}: names ${name}, which is no metric`);
}

/** Variables that an example sets: in files of variables, in compose files, and in the shell of its README. */
function checkExamples(known) {
  const own = /^(?:SINK|AMQP|FIREHOSE|NOMAD|RESTART|NOTIF|DETECTOR|REDIS|HTTP|LOG|SHUTDOWN|DATA)_/u;
  const files = existsSync('examples')
    ? readdirSync('examples', { recursive: true }).filter((file) => /\.(?:ya?ml|env|env\.example|md|toml)$/u.test(file))
    : [];
  return files
    .map((file) => join('examples', file))
    .flatMap((file) => {
      const names = [...read(file).matchAll(/\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=[=:])/gu)].map(([, name]) =>
        name.replace(/^ALERT_/u, ''),
      );
      return [...new Set(names)]
        .filter((name) => own.test(name) && !known.has(name))
        .map((name) => `${file}: sets ${name}, which is no setting`);
    });
}

/** `schemas` are those of the services and sinks. */
export function checkWrittenPages(schemas) {
  const known = namesOf(schemas);
  return [...checkMoving(known), ...checkErrors(), ...checkMetrics(), ...checkExamples(known)];
}
