import type { RequestFrames } from '../load/h2-connection.ts';

/** What a template holds where each request has its own number. */
export const PLACEHOLDER = '0000000000';
const DIGITS = PLACEHOLDER.length;

/**
 * Makes requests that differ in a number only, by writing its digits over each placeholder: cheap enough for millions. A result is
 * good until the next call: the connection copies it. Throws where there is no placeholder.
 */
export function numbered(template: RequestFrames): (n: number) => RequestFrames {
  const bytes = Buffer.from(template.bytes);
  const places: number[] = [];
  for (let at = bytes.indexOf(PLACEHOLDER); at >= 0; at = bytes.indexOf(PLACEHOLDER, at + DIGITS))
    places.push(at);
  if (places.length === 0) throw new TypeError('a template needs a placeholder');
  const frames = { ...template, bytes };
  return (n) => {
    for (const at of places) writeNumber(bytes, at, n);
    return frames;
  };
}

function writeNumber(bytes: Buffer, at: number, n: number): void {
  let rest = n;
  for (let digit = DIGITS - 1; digit >= 0; digit--) {
    bytes[at + digit] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
