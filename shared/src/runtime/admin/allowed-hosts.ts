/**
 * Which names a request may ask for in its `Host`. A page of somebody else can have its own name point at this machine
 * (DNS rebinding), and the browser then lets it read every answer; it cannot make the browser ask for an address, for
 * `localhost`, or for a name without a dot, which nobody can register.
 */
import { isIP } from 'node:net';

/** `names` as HTTP_ALLOWED_HOSTS has them: `name`, or `*.name` for all below it. */
export function createHostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  const exact = new Set<string>();
  const suffixes: string[] = [];
  for (const name of names.map(normalize)) {
    if (name.startsWith('*.')) suffixes.push(name.slice(1));
    else exact.add(name);
  }
  return (host) => {
    // Browsers always send it, so who does not is none.
    if (host === undefined || host === '') return true;
    const name = normalize(withoutPort(host));
    return (
      isLocal(name) ||
      exact.has(name) ||
      suffixes.some((suffix) => name.length > suffix.length && name.endsWith(suffix))
    );
  };
}

function isLocal(name: string): boolean {
  return isIP(name) !== 0 || /^[\w-]+$/u.test(name) || name.endsWith('.localhost');
}

function withoutPort(host: string): string {
  const [, address, name] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/u.exec(host) ?? [];
  return address ?? name ?? host;
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/u, '');
}
