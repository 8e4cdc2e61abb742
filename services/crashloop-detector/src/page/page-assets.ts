/**
 * The files of the page, which lie beside `src` and `dist` of the detector, so a URL relative to the module finds them
 * in both.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface PageAsset {
  /** As the browser asks for it. */
  readonly path: string;
  readonly type: string;
  readonly content: Buffer;
  /** Quoted. */
  readonly etag: string;
}

export interface PageAssets {
  readonly assets: readonly PageAsset[];
  /** Changes with any of the files. */
  readonly version: string;
}

const folder = new URL('../../page/', import.meta.url);
const javascript = 'text/javascript; charset=utf-8';
const files: readonly (readonly [path: string, file: string, type: string])[] = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/page/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/page/icon.svg', 'icon.svg', 'image/svg+xml'],
  ...['page.js', 'connection.js', 'loop-list.js', 'loop-card.js', 'sight.js', 'timeline.js', 'words.js'].map(
    (file) => [`/page/${file}`, file, javascript] as const,
  ),
];

/** Throws when a file is missing: then the program is not installed whole. */
export function loadPageAssets(): PageAssets {
  const assets = files.map(([path, file, type]) => {
    const content = readFileSync(new URL(file, folder));
    return { path, type, content, etag: `"${digest([content])}"` };
  });
  return { assets, version: digest(assets.map(({ content }) => content)) };
}

function digest(contents: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(content);
  return hash.digest('base64url').slice(0, 22);
}
