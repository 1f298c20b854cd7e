/** Decodes standard base64 (RFC 4648 section 4) in its one canonical form; `undefined`: anything else, and the empty text. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : undefined;
}

/** Reads a decimal of digits only, without leading zeros, up to 2^53 - 1; `undefined`: anything else. */
export function parseDecimal(text: string): number | undefined {
  const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}
