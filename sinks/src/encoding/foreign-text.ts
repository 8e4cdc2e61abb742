/** Text that others wrote, made fit for where it goes. */

const replacement = '\uFFFD';
/** C0 and C1 controls and noncharacters, which CloudEvents, SQS and XML forbid. */
const forbidden = /[\p{Cc}\uFDD0-\uFDEF\uFFFE\uFFFF]/gu;

/** n.b. half of a surrogate pair makes `encodeURIComponent` throw, and some servers refuse it in JSON. */
export function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** Well-formed and without control characters, which are replaced. */
export function plainText(text: string): string {
  return wellFormed(text).replaceAll(forbidden, replacement);
}

/** For a part of a URL. Never throws. */
export function encodeUrlPart(text: string): string {
  return encodeURIComponent(wellFormed(text));
}
