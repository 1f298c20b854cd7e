/**
 * Nothing may be signed: what is on the medium is not what was signed before, or not the whole of it. The message says what and where,
 * for operators.
 */
export class SealRefused extends Error {
  override readonly name = 'SealRefused';
}
