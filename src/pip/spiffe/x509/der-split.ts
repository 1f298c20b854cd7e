const SEQUENCE = 0x30;

/**
 * Cuts a concatenation of DER SEQUENCEs, which is how certificates follow one another in the Workload API, into its elements.
 * `undefined` where the bytes are anything else. Only the outer lengths are looked at.
 */
export function splitDer(concatenation: Uint8Array): readonly Buffer[] | undefined {
  const bytes = Buffer.from(concatenation.buffer, concatenation.byteOffset, concatenation.byteLength);
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = elementEnd(bytes, at);
    if (end === undefined) return undefined;
    elements.push(bytes.subarray(at, end));
    at = end;
  }
  return elements;
}

function elementEnd(bytes: Buffer, at: number): number | undefined {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag !== SEQUENCE || first === undefined) return undefined;
  const size = first < 0x80 ? 0 : first & 0x7f;
  const content = at + 2 + size;
  if (first === 0x80 || size > 3 || content > bytes.length) return undefined;
  const end = content + (size === 0 ? first : bytes.readUIntBE(at + 2, size));
  return end > bytes.length ? undefined : end;
}
