/**
 * Why something of a transparency log was refused:
 * - `malformed`: the text or the bytes are not what the format allows;
 * - `untrusted`: well formed, and no trusted key vouches for it, or for something else than was asked;
 * - `missing_tile`: a tile that is needed is not there (pruned, or never written).
 */
export type TlogErrorCode = 'malformed' | 'untrusted' | 'missing_tile';

/** What this folder throws about data from outside. A caller's own mistakes are `RangeError`s. */
export class TlogError extends Error {
  override readonly name = 'TlogError';
  readonly code: TlogErrorCode;

  /** `message` holds words about the format only, never bytes of what was refused. */
  constructor(code: TlogErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
