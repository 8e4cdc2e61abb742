/** Which versions of servers docs/tested-versions.md says were tried. For the checks of what names an image of one. */
import { readFileSync } from 'node:fs';

const rows = [
  ...readFileSync('docs/tested-versions.md', 'utf8').matchAll(/^\| (RabbitMQ|Redis|Valkey) \| (\d+\.\d+)\S* /gmu),
].map(([, server, version]) => `${server.toLowerCase()}:${version}`);

/** A sentence for each image of RabbitMQ, Redis or Valkey in `text` whose version, such as 4.3, is not among them. */
export function untestedImages(file, text) {
  const images = [...text.matchAll(/\b(?:valkey\/)?(rabbitmq|redis|valkey):(\d+\.\d+)[\w.-]*/gu)];
  return images
    .filter(([, server, version]) => !rows.includes(`${server}:${version}`))
    .map(([image]) => `${file}: Expected ${image} to be of a version in docs/tested-versions.md, it is not`);
}
