/**
 * docs/sinks/README.md: the pages of the destinations, in the order of the registry, each with the sentence that it
 * begins with.
 */
import { existsSync, readFileSync } from 'node:fs';

const head = `# Sinks

Generated from the registry by \`make docs\`; \`make check\` refuses it when it is stale. Each page says what arrives at a destination, what happens when it does not, and what the limits are.

| \`SINK_TYPE\` | |
|---|---|
`;

/** The sentence under the heading, without its full stop. */
function readPurpose(type) {
  const file = `docs/sinks/${type}.md`;
  if (!existsSync(file)) throw new Error(`Expected a page ${file} for the sink ${type}; write it as the others are`);
  const [, purpose] = /^# Sink `[^`]+`\n\n(.+?)\.(?: |$)/mu.exec(readFileSync(file, 'utf8')) ?? [];
  if (purpose === undefined)
    throw new Error(`Expected ${file} to begin with "# Sink \`${type}\`", an empty line and a sentence`);
  return purpose.replaceAll('|', '\\|');
}

export function makeSinksPage(sinks) {
  return head + sinks.map(({ type }) => `| [\`${type}\`](${type}.md) | ${readPurpose(type)} |\n`).join('');
}
