/** An answer of the page's routes in JSON, made once and sent to everybody who asks meanwhile. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

export interface Answer {
  readonly statusCode: 200 | 400 | 404 | 503;
  /** Weak, quoted. */
  readonly etag: string;
  readonly body: Buffer;
  /** Made when the first one asks for it. */
  gzipped(): Promise<Buffer>;
}

export function makeAnswer(statusCode: Answer['statusCode'], json: string): Answer {
  const body = Buffer.from(json);
  const etag = `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  let gzipped: Promise<Buffer> | undefined;
  return {
    statusCode,
    etag,
    body,
    gzipped() {
      gzipped ??= promisify(gzip)(body, { level: 1 });
      return gzipped;
    },
  };
}
