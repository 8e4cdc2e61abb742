/** Lua scripts lie beside `src` and `dist` of their service, so a URL relative to the module finds them in both. */
import { readFileSync } from 'node:fs';

/** The script's text: `loadLua(new URL('../../lua/name-1.lua', import.meta.url))`. */
export function loadLua(url: URL): string {
  return readFileSync(url, 'utf8');
}
