/**
 * Takes the files with users out of the jobs of deploy/nomad and renders the few forms of Nomad's template language
 * that they are made of, so that tests and checks can use them on servers that Nomad did not start.
 */
import { createHash } from 'node:crypto';

const filters: Readonly<Record<string, (value: string) => string>> = {
  toJSON: (value) => JSON.stringify(value),
  sha256Hex: (value) => createHash('sha256').update(value).digest('hex'),
};

/** Throws for a form that it does not know, and for an item that is not there. */
export function renderNomadTemplate(template: string, items: Readonly<Record<string, string>>): string {
  return template
    .replaceAll(/\{\{-? *(?:\/\*[\s\S]*?\*\/|with nomadVar "[^"]*"|end) *-?\}\}/gu, '')
    .replaceAll(/\{\{ *(.*?) *\}\}/gu, (_whole, inner: string) => {
      const [, item = '', filter = ''] = /^\.(\w+)\.Value \| (\w+)$/u.exec(inner) ?? [];
      const value = items[item];
      const apply = filters[filter];
      if (value === undefined || apply === undefined)
        throw new Error(
          `Expected {{ .item.Value | filter }} of the items ${Object.keys(items).join(', ')}, got {{ ${inner} }}`,
        );
      return apply(value);
    })
    .trimStart();
}

/** The text of the template that a job has for a file, as it stands in the job. */
export function findNomadTemplate(job: string, file: string): string {
  const template = new RegExp(
    `destination = "[^"]*/${file.replaceAll('.', '\\.')}"\\n +data += <<-(\\w+)\\n([\\s\\S]*?)\\n *\\1\\n`,
    'u',
  ).exec(job)?.[2];
  if (template === undefined) throw new Error(`Expected the job to have a template for ${file}`);
  return template.replaceAll(/^ +/gmu, '');
}
