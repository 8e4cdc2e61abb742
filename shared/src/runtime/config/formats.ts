/**
 * The kinds of values that settings have. Each reads a string from the environment or a value of CONFIG_FILE, strictly:
 * what is not exactly as expected is refused, never guessed.
 */
import { formatDuration, parseDuration } from '../../foundation/durations.ts';
import { parseAddress } from '../../foundation/host-port.ts';
import { formatSize, parseSize } from '../../foundation/sizes.ts';
import { maskUrl } from './mask-url.ts';
import { findNearestName } from './nearest-name.ts';

/** How one kind of value is read and checked. */
export interface Format<T> {
  /** As the documentation names it: `duration`, `size`, `url`. */
  readonly name: string;
  /** For error messages, such as `a duration such as "25s"`. */
  readonly expected: string;
  /**
   * `raw` is a string from the environment, or a value of CONFIG_FILE. Returns undefined when it is not as expected.
   */
  parse(raw: unknown): T | undefined;
  /** The value as it could be set again, but for what is secret in it. Default: as text. */
  show?(value: T): string;
  /** What to say of a value that is not as expected, such as which one was probably meant. */
  hint?(raw: unknown): string | undefined;
  /** What to say of a value that may be right and is probably not. */
  doubt?(value: T): string | undefined;
  /** Values are, or hold, URLs: one that is not as expected may hold a password. */
  readonly isUrl?: boolean;
}

function fromText<T>(raw: unknown, read: (text: string) => T | undefined): T | undefined {
  return typeof raw === 'string' ? read(raw.trim()) : undefined;
}

export const text: Format<string> = {
  name: 'text',
  expected: 'text',
  parse: (raw) => (typeof raw === 'string' ? raw : undefined),
};

export const path: Format<string> = {
  name: 'path',
  expected: 'a path',
  parse: (raw) => (typeof raw === 'string' && raw !== '' ? raw : undefined),
};

export function integer({
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
}: { readonly min?: number; readonly max?: number } = {}): Format<number> {
  const bounds =
    max === Number.MAX_SAFE_INTEGER ? `of at least ${String(min)}` : `between ${String(min)} and ${String(max)}`;
  return {
    name: 'integer',
    expected: `a whole number ${bounds}`,
    parse(raw) {
      const value =
        typeof raw === 'number' ? raw : fromText(raw, (word) => (/^-?\d+$/u.test(word) ? Number(word) : undefined));
      return value !== undefined && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
    },
  };
}

export const port: Format<number> = {
  ...integer({ min: 0, max: 65_535 }),
  name: 'port',
  expected: 'a port between 0 and 65535 (0: any free one)',
};

/** Milliseconds. */
export const duration: Format<number> = {
  name: 'duration',
  expected: 'a duration such as "25s", "5m" or "1h30m"',
  parse: (raw) => fromText(raw, parseDuration),
  show: formatDuration,
};

/** Milliseconds; the bounds belong to the range. */
export function durationBetween({ minMs, maxMs }: { readonly minMs: number; readonly maxMs: number }): Format<number> {
  return {
    ...duration,
    expected: `${duration.expected}, between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`,
    parse(raw) {
      const ms = duration.parse(raw);
      return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined;
    },
  };
}

/** Bytes. */
export const size: Format<number> = {
  name: 'size',
  expected: 'a size such as "256MiB" or "4096"',
  parse: (raw) => (typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= 0 ? raw : fromText(raw, parseSize)),
  show: formatSize,
};

const truthWords = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['false', false],
  ['0', false],
  ['no', false],
]);

export const bool: Format<boolean> = {
  name: 'true or false',
  expected: '"true" or "false"',
  parse: (raw) => (typeof raw === 'boolean' ? raw : fromText(raw, (word) => truthWords.get(word.toLowerCase()))),
};

export function oneOf<const T extends string>(words: readonly T[]): Format<T> {
  return {
    name: words.map((word) => `\`${word}\``).join(', '),
    expected: `one of ${words.map((word) => `"${word}"`).join(', ')}`,
    parse: (raw) => fromText(raw, (given) => words.find((word) => word === given)),
    hint: (raw) => suggest(typeof raw === 'string' ? findNearestName(raw.trim(), words) : undefined),
  };
}

function suggest(name: string | undefined): string | undefined {
  return name === undefined ? undefined : `did you mean "${name}"?`;
}

/** Words separated by commas, or an array in CONFIG_FILE; blanks around and empty ones are dropped. */
export const list: Format<readonly string[]> = {
  name: 'list',
  expected: 'words separated by commas',
  parse(raw) {
    const words = typeof raw === 'string' ? raw.split(',') : raw;
    if (!Array.isArray(words) || !words.every((word): word is string => typeof word === 'string')) return undefined;
    return words.map((word) => word.trim()).filter((word) => word !== '');
  },
};

/** Words of one kind, separated by commas; at least one. */
export function listOf<T>(
  item: Format<T>,
  { name, expected }: Pick<Format<T>, 'name' | 'expected'>,
): Format<readonly T[]> {
  return {
    ...item,
    name,
    expected,
    show: (items) => items.map((each) => item.show?.(each) ?? String(each)).join(','),
    hint: (raw) =>
      firstOf(list.parse(raw) ?? [], (word) => (item.parse(word) === undefined ? item.hint?.(word) : undefined)),
    doubt: (items) => firstOf(items, (each) => item.doubt?.(each)),
    parse(raw) {
      const items: T[] = [];
      for (const word of list.parse(raw) ?? []) {
        const value = item.parse(word);
        if (value === undefined) return undefined;
        items.push(value);
      }
      return items.length > 0 ? items : undefined;
    },
  };
}

function firstOf<T>(items: readonly T[], say: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const said = say(item);
    if (said !== undefined) return said;
  }
  return undefined;
}

const hostPort: Format<string> = {
  name: 'address',
  expected: '`host:port`',
  parse: (raw) => fromText(raw, (word) => (parseAddress(word) === undefined ? undefined : word)),
};

/** Addresses separated by commas, at least one. */
export const hostPorts: Format<readonly string[]> = listOf(hostPort, {
  name: 'addresses',
  expected: 'one or more addresses as `host:port`, separated by commas',
});

const hostName: Format<string> = {
  name: 'name',
  expected: 'a name',
  parse: (raw) =>
    fromText(raw, (word) => (/^(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?$/u.test(word) ? word : undefined)),
};

/** Names of machines, separated by commas, at least one. */
export const hostNames: Format<readonly string[]> = listOf(hostName, {
  name: 'names',
  expected:
    'one or more names such as "hydrant.example.com", without `http://` and without a port, separated by commas',
});

/** An absolute URL with a host. */
export function url(protocols: readonly string[]): Format<string> {
  return {
    name: 'URL',
    expected: `a URL (${showProtocols(protocols)})`,
    parse: (raw) => fromText(raw, (word) => (isUrl(word, protocols) ? word : undefined)),
    show: maskUrl,
    hint: (raw) =>
      typeof raw === 'string' && mayNeedEscapes(raw, protocols)
        ? 'in user and password write "/", "?", "#", "@", "%" and blanks as %2F, %3F, %23, %40, %25 and %20'
        : undefined,
    isUrl: true,
  };
}

/** URLs separated by commas, at least one. */
export function urls(protocols: readonly string[]): Format<readonly string[]> {
  return listOf(url(protocols), {
    name: 'URLs',
    expected: `one or more URLs (${showProtocols(protocols)}), separated by commas`,
  });
}

function showProtocols(protocols: readonly string[]): string {
  return protocols.map((protocol) => `${protocol}//…`).join(' or ');
}

/**
 * n.b. in an HTTP path an `@` is nothing special; behind any other host it is the end of a password that should have
 * been escaped.
 */
function isUrl(word: string, protocols: readonly string[]): boolean {
  if (!URL.canParse(word)) return false;
  const { protocol, host, username, password, pathname, search, hash } = new URL(word);
  // n.b. `http:host` would do for the parser too.
  if (!protocols.includes(protocol) || host === '' || !word.slice(protocol.length).startsWith('//')) return false;
  const mayHoldAt = protocol === 'http:' || protocol === 'https:';
  return isEscaped(`${username}${password}`) && (mayHoldAt || !`${pathname}${search}${hash}`.includes('@'));
}

function isEscaped(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function mayNeedEscapes(word: string, protocols: readonly string[]): boolean {
  return word.includes('@') && protocols.some((protocol) => word.trim().startsWith(`${protocol}//`));
}
