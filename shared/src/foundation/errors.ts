/**
 * The one error base of the project. Decide by `code` and `retryable`, never by the text or by `instanceof` across
 * packages. Permanent (`retryable: false`) means: the same input will fail again. Everything unknown is retryable.
 */
export interface HydrantErrorOptions {
  readonly code: string;
  readonly retryable: boolean;
  readonly cause?: unknown;
}

export class HydrantError extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(message: string, options: HydrantErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HydrantError';
    this.code = options.code;
    this.retryable = options.retryable;
  }
}

/** Makes an Error of whatever was thrown, keeping the original as its cause. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`Expected an Error to be thrown, got ${String(thrown)}`, { cause: thrown });
}

/** The `code` of a thrown value (`ECONNREFUSED`, `sink-permanent`, …), or undefined. */
export function errorCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** False only where the thrown value says so itself. */
export function isRetryable(thrown: unknown): boolean {
  return !(typeof thrown === 'object' && thrown !== null && 'retryable' in thrown && thrown.retryable === false);
}

/** The text a person reads in a log line: the message with its causes, innermost last. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; depth < 5 && current !== undefined && current !== null; depth += 1) {
    const text =
      current instanceof Error
        ? current.message || current.name
        : typeof current === 'string'
          ? current
          : JSON.stringify(current);
    if (text !== '' && !parts.includes(text)) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}
