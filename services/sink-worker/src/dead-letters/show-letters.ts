/** Dead letters for people, as a table, and for programs, as JSON lines. Pure. */
import { isUtf8 } from 'node:buffer';
import type { DeadLetter } from '@hydrant/shared/bus/dead-letters';

/** What a row needs of a letter: the body is left behind. */
export type Row = readonly [failedAt: string, attempts: string, id: string, routingKey: string, error: string];

const head: Row = ['FAILED AT', 'TRIES', 'ID', 'ROUTING KEY', 'ERROR'];
const maxErrorLength = 160;

export function toRow({ failedAt, attempts, message, error }: DeadLetter): Row {
  const line = visible(error);
  return [
    visible(failedAt),
    attempts === undefined ? '' : String(attempts),
    visible(message.id),
    visible(message.routingKey),
    line.length > maxErrorLength ? `${line.slice(0, maxErrorLength - 1)}…` : line,
  ];
}

/** Lines of a table whose columns are as wide as what stands in them; the last one ends with the text. */
export function formatTable(rows: readonly Row[]): readonly string[] {
  const all = [head, ...rows];
  const widths = head.map((_name, column) =>
    all.reduce((widest, row) => Math.max(widest, (row[column] ?? '').length), 0),
  );
  return all.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

export function formatJson({ message, error, attempts, failedAt, sink }: DeadLetter): string {
  const { id, routingKey, type, contentType, headers, body } = message;
  const bodyEncoding = isUtf8(body) ? 'utf8' : 'base64';
  return JSON.stringify({
    id,
    error,
    attempts,
    failedAt,
    sink,
    routingKey,
    type,
    contentType,
    headers,
    bodyEncoding,
    body: body.toString(bodyEncoding),
  });
}

/** What a destination answered may hold anything, also what a terminal obeys. */
function visible(text: string): string {
  return text.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim();
}
