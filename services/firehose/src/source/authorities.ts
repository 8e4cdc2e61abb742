/**
 * The authorities that may vouch for Nomad, from NOMAD_CACERT (a file) or else NOMAD_CAPATH (a folder with all below
 * it), as Nomad's client chooses. They stand alone: those that Node.js knows are trusted only when neither is set.
 */
import { X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu;

function unusable(text: string, cause?: unknown): HydrantError {
  return new HydrantError(text, { code: 'nomad-credentials', retryable: true, cause });
}

/** Reads what a setting names; throws `nomad-credentials` with both. */
export async function readNamed<T>(setting: string, path: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(path);
  } catch (thrown) {
    const text = `Expected to read what \`${setting}\` names, ${path}, could not: ${errorCode(thrown) ?? 'unknown'}; is it there, and may this process read it?`;
    throw unusable(text, thrown);
  }
}

function findCertificates(setting: string, path: string, text: string): string[] {
  const found = text.match(pemCertificate) ?? [];
  for (const certificate of found) {
    try {
      // n.b. TLS would pass over what it cannot read without a word.
      void new X509Certificate(certificate);
    } catch (thrown) {
      throw unusable(
        `Expected the certificates of \`${setting}\` to be readable, got a broken one in ${path}; replace it`,
        thrown,
      );
    }
  }
  return found;
}

async function readFolder(folder: string): Promise<string[]> {
  const certificates: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // n.b. in a mounted secret each file is a link, and so is a folder that holds them once more.
    const text = entry.isDirectory()
      ? ''
      : await readFile(path, 'latin1').catch((thrown: unknown) => {
          if (errorCode(thrown) === 'EISDIR') return '';
          throw thrown;
        });
    for (const certificate of findCertificates('NOMAD_CAPATH', path, text)) certificates.push(certificate);
  }
  return certificates;
}

/** PEM texts, at least one; undefined when neither is set. Throws `nomad-credentials`. */
export async function readAuthorities(caFile: string | null, caFolder: string | null): Promise<string[] | undefined> {
  if (caFile === null && caFolder === null) return undefined;
  const [setting, path] = caFile === null ? ['NOMAD_CAPATH', caFolder ?? ''] : ['NOMAD_CACERT', caFile];
  const certificates = await readNamed(setting, path, async () =>
    caFile === null ? readFolder(path) : findCertificates(setting, path, await readFile(path, 'latin1')),
  );
  if (certificates.length === 0)
    throw unusable(`Expected \`${setting}\` to hold at least one certificate in PEM form, got none in ${path}`);
  return certificates;
}
