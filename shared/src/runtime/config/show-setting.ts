/**
 * How the value of a setting appears in errors, warnings and `--print-config`: as it could be set again, and without a
 * secret.
 */
import { maskText, maskUrl } from './mask-url.ts';
import type { Setting } from './setting.ts';

/** In place of what is secret. */
export const masked = '***';
const mostShown = 200;

/** A value that the format of the setting made. */
export function showValue(setting: Setting<unknown>, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (setting.sensitive === true) return masked;
  if (setting.format.show !== undefined) return setting.format.show(value);
  return Array.isArray(value) ? value.map(showPlain).join(',') : showPlain(value);
}

function showPlain(value: unknown): string {
  return typeof value === 'string' ? maskText(value) : JSON.stringify(value);
}

/** A value as it was written, which its format did not take. */
export function showRaw(setting: Setting<unknown>, raw: unknown): string {
  if (setting.sensitive === true) return 'a value that is not shown because it is secret';
  const json = JSON.stringify(raw);
  const text = typeof raw === 'string' ? raw : json;
  if (setting.format.isUrl !== true && !mayHoldLogin(text)) return cut(json);
  const shown = typeof raw === 'string' ? maskUrl(raw) : masked;
  return shown === masked ? 'a value that is not shown because it may hold a password' : cut(JSON.stringify(shown));
}

/** An address with a login is set by mistake where none is expected, too. */
export function mayHoldLogin(text: string): boolean {
  return text.includes('://') || text.includes('@');
}

function cut(text: string): string {
  return text.length > mostShown ? `${text.slice(0, mostShown)}…` : text;
}
