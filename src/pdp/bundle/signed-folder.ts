import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { type OpenedBundle, type PublishOptions, publication, type Trust, verifyFiles } from './bundle.ts';
import { textsOf } from './bundle-texts.ts';
import { readRootFolder } from './policy-folders.ts';
import { BUNDLE_LIMITS, MANIFEST_PATH, type PolicyFiles, SIGNATURE_PATH } from './policy-path.ts';
import { writeAtomically } from './write-file.ts';

/**
 * Verifies a folder of policy sets against the `manifest.json` and `manifest.sig` in it, as a bundle is verified: a policy file that is
 * not in the manifest is refused, and so is one that is missing or changed. Other files (READMEs, tests) are not looked at.
 *
 * Each file is read once and the texts are those that were verified: reading the folder again would be a gap. Throws `InputError`.
 */
export function verifyFolder(root: string, trust: Trust): OpenedBundle {
  const files = new Map(readRootFolder(root));
  for (const name of [MANIFEST_PATH, SIGNATURE_PATH]) {
    const content = readIfThere(join(root, name));
    if (content) files.set(name, content);
  }
  return verifyFiles(files, trust, (path) => join(root, path));
}

/**
 * Writes `manifest.json` and `manifest.sig` beside the policy sets of a root folder, for the files that were read from it
 * (`readRootFolder`). Throws `InputError` where they would not verify; rejects with the error of `node:fs` where they cannot be written.
 */
export async function signFolder(
  root: string,
  files: PolicyFiles,
  options: Required<PublishOptions>,
): Promise<void> {
  textsOf(files, (path) => join(root, path));
  // The two cannot change as one: who looks in between sees a signature that does not fit, and refuses.
  for (const [name, content] of publication(files, options))
    await writeAtomically(join(root, name), content, 0o644);
}

function readIfThere(file: string): Buffer | undefined {
  try {
    const content = readFileSync(file);
    if (content.length <= BUNDLE_LIMITS.manifestBytes) return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cannotRead(file, (error as Error).message);
  }
  throw cannotRead(file, `larger than ${BUNDLE_LIMITS.manifestBytes} bytes`);
}

function cannotRead(file: string, why: string): InputError {
  return new InputError('policies cannot be read:', [{ where: file, message: `cannot be read (${why})` }]);
}
