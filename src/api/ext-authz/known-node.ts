/**
 * Whether this Node.js is of the line whose HTTP/2 streams our tests know from within. Where it is another they are left as they are: an answer is then
 * slower, and not otherwise (ADR 0030 and 0033).
 */
export function isKnownNode(version: string): boolean {
  return version.startsWith('24.');
}
