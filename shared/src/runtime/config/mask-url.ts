/** Takes what is secret out of URLs, for logs, errors and `--print-config`. Finds them anywhere in a text. */
const scheme = String.raw`[A-Za-z][A-Za-z0-9+.-]*:\/\/`;
/** A URL to the next blank or quote, or to the comma before the next URL of a list. */
const wholeUrl = new RegExp(`${scheme}(?:(?!,${scheme})[^\\s"])*`, 'gu');
/** To the last `@` before the path: an `@` may stand in a password. */
const credentials = /(?<=:\/\/)[^/?#]*@/u;
const anythingBeforeAt = /(?<=:\/\/).*@/u;
const secretParameters = /(?<=[?&](?:password|passwd|pass|pwd|token|access_token|secret|client_secret|api_?key|key|code|auth|signature|sig)=)[^&#]+/giu;

/** `amqp://user:secret@host/` becomes `amqp://***@host/`; text without credentials stays as it is. */
export function maskUrl(url: string): string {
  return url.replaceAll(wholeUrl, maskOne);
}

function maskOne(url: string): string {
  // n.b. where a URL cannot be read nobody knows where its password ends.
  return url.replace(URL.canParse(url) ? credentials : anythingBeforeAt, '***@').replaceAll(secretParameters, '***');
}
