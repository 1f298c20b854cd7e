import type { KeyObject } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assertNotOlder } from './bundle/bundle-intake.ts';
import type { OpenedBundle } from './bundle/bundle.ts';
import { MANIFEST_PATH, SIGNATURE_PATH } from './bundle/policy-path.ts';
import { verifyFolder } from './bundle/signed-folder.ts';
import { type PolicyTexts, fileVersion, policyFingerprint, readPolicyTexts } from './policy-source.ts';

/** Policy sets on disk, as a `PolicyDirectory` looks at them. */
export interface PolicyFolders {
  /** Changes when a file does. Cheap: reads no contents. Never throws. */
  fingerprint(): string;
  /** The texts, once they are known to be what they should; `taken` is told when they were put to use. Throws `InputError`. */
  read(): { readonly texts: PolicyTexts; taken(): void };
  describe(): Readonly<Record<string, string | number>>;
}

/** Policy set folders that whoever can write them vouches for. */
export function openFolders(folders: readonly string[]): PolicyFolders {
  return {
    fingerprint: () => policyFingerprint(folders),
    read: () => ({ texts: readPolicyTexts(folders), taken: () => undefined }),
    describe: () => ({ source: 'folders' }),
  };
}

/**
 * A folder of policy sets that a signature vouches for. What was signed before the revision in use is refused while this process runs:
 * a signature does not age, and an old one with a hole in it would still verify.
 */
export function openSignedFolder(root: string, publicKeys: readonly KeyObject[]): PolicyFolders {
  let newest: OpenedBundle | undefined;
  return {
    fingerprint: () => signedFingerprint(root),
    read() {
      const opened = verifyFolder(root, { publicKeys });
      if (newest) assertNotOlder(opened, newest);
      return { texts: opened.texts, taken: () => void (newest = opened) };
    },
    describe: () => ({
      source: 'signed folder',
      ...(newest && { revision: newest.revision, signed_by: newest.signedBy ?? '' }),
    }),
  };
}

function signedFingerprint(root: string): string {
  const own = [MANIFEST_PATH, SIGNATURE_PATH].map((name) => fileVersion(join(root, name)));
  const names = namesIn(root);
  const folders = names.map((name) => join(root, name));
  return [policyFingerprint([root, ...folders]), ...own, ...names].join('\n');
}

/** Without dot folders, which hold no sets. */
function namesIn(root: string): string[] {
  try {
    return readdirSync(root)
      .filter((name) => !name.startsWith('.'))
      .sort();
  } catch {
    return [];
  }
}
