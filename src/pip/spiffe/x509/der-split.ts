import { readHeader } from './der-shape.ts';

const SEQUENCE = 0x30;

/**
 * Cuts a concatenation of DER SEQUENCEs, which is how certificates follow one another in the Workload API, into its elements.
 * `undefined` where the bytes are anything else. Only the outer lengths are looked at.
 */
export function splitDer(concatenation: Uint8Array): readonly Buffer[] | undefined {
  const bytes = Buffer.from(concatenation.buffer, concatenation.byteOffset, concatenation.byteLength);
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const header = readHeader(bytes, at, bytes.length);
    if (typeof header === 'string' || bytes[at] !== SEQUENCE) return undefined;
    elements.push(bytes.subarray(at, header.end));
    at = header.end;
  }
  return elements;
}
