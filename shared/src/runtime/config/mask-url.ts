/** Takes what is secret out of a URL, for logs and `--print-config`. */
const credentials = /(?<=:\/\/)[^@/?#\s]*@/gu;

/** `amqp://user:secret@host/` becomes `amqp://***@host/`; text without credentials stays as it is. */
export function maskUrl(url: string): string {
  return url.replace(credentials, '***@');
}
