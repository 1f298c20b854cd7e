import { existsSync, readFileSync } from 'node:fs';
import { type VerifierKey, parseVerifierKey } from '../audit/tlog/note-key.ts';
import { InputError, messageOf } from '../pdp/errors.ts';

/** The verifier key that `--vkey` means: the text of one, or a file that holds it. Throws `InputError`. */
export function vkeyOf(text: string): VerifierKey {
  try {
    return parseVerifierKey(existsSync(text) ? readFileSync(text, 'utf8') : text);
  } catch (error) {
    throw new InputError('bad usage:', [{ where: '--vkey', message: `${messageOf(error)}: ${text}` }]);
  }
}
