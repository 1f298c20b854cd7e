import type { Config } from '../config.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { createControlPrivacy } from '../audit/privacy/control-privacy.ts';
import { openPrivacyKey } from '../audit/privacy/key-file.ts';
import { createRecordPrivacy } from '../audit/privacy/private-record.ts';
import { type Pseudonyms, createPseudonyms } from '../audit/privacy/pseudonyms.ts';

/** The pseudonyms of the configured log; `undefined`: names are in clear. Makes the key where there is none yet. Throws `InputError`. */
export function openPseudonyms({ dir, privacy }: Config['audit']): Pseudonyms | undefined {
  if (!privacy) return undefined;
  const { key_file: path, key_epoch: epoch, pseudonymise: kinds } = privacy;
  return createPseudonyms({ key: openPrivacyKey(dir, { path, epoch }), epoch, kinds });
}

/** What keeps names out of control records. */
export function controlPrivacyOf(pseudonyms: Pseudonyms | undefined) {
  return pseudonyms && createControlPrivacy(pseudonyms);
}

/** What keeps names out of decision records. */
export function recordPrivacyOf(
  pseudonyms: Pseudonyms | undefined,
  { committed }: Pick<LogWriter, 'committed'>,
) {
  return pseudonyms && createRecordPrivacy({ pseudonyms, segment: () => committed.read().segment });
}
