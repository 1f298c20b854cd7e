import { InputError, type Problem } from '../errors.ts';

/** What a bundle may hold at most; a hostile archive is refused before it costs more than this. */
export const BUNDLE_LIMITS = {
  /** Entries, manifest and signature included. */
  files: 4096,
  /** Bytes as sent. */
  packedBytes: 32 * 1024 * 1024,
  /** Bytes of the unpacked archive. */
  unpackedBytes: 64 * 1024 * 1024,
  /** Bytes of the manifest. */
  manifestBytes: 1024 * 1024,
  /** Characters of a path: the `name` field of a ustar header. */
  pathLength: 100,
} as const;

/** Path of the manifest in a bundle and in a signed folder. */
export const MANIFEST_PATH = 'manifest.json';
/** Path of the manifest's signature in a bundle and in a signed folder. */
export const SIGNATURE_PATH = 'manifest.sig';
/** Name of a schema file, of one set or shared by the sets beside it. */
export const SCHEMA_FILE = 'schema.cedarschema';

/** Files of policy sets by their path from the bundle's top. */
export type PolicyFiles = ReadonlyMap<string, Buffer>;

const FILE_IN_SET = /\.cedar$|^(?:entities\.json|bindings\.yaml|links\.json|schema\.cedarschema)$/;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** Whether a file name in a set folder is one that a policy set is made of; everything else there is not our business. */
export function isPolicyFileName(name: string): boolean {
  return FILE_IN_SET.test(name);
}

/** Why a path cannot be a policy file of a bundle (`schema.cedarschema` or `<set>/<file>`); `undefined` where it can. */
export function policyPathProblem(path: string): string | undefined {
  if (path.length > BUNDLE_LIMITS.pathLength)
    return `has a path of more than ${BUNDLE_LIMITS.pathLength} characters`;
  if (/^(?:[/\\]|[A-Za-z]:)/.test(path)) return 'has an absolute path';
  const segments = path.split('/');
  if (segments.some((segment) => segment === '..' || segment === '.' || segment === ''))
    return "has a path with '.', '..' or empty segments";
  if (!segments.every((segment) => NAME.test(segment)))
    return 'has a path with other characters than letters, digits and _ . - /';
  const [set, file, more] = segments;
  if (path === SCHEMA_FILE) return undefined;
  if (set !== undefined && file !== undefined && more === undefined && isPolicyFileName(file))
    return undefined;
  return `is not a policy file (${SCHEMA_FILE}, or *.cedar, entities.json, bindings.yaml, links.json or ${SCHEMA_FILE} in the folder of a set)`;
}

/** The refusal of a whole bundle. */
export function refusal(...problems: readonly Problem[]): InputError {
  return new InputError('the policy bundle is refused:', problems);
}

/** A path that somebody else chose, fit to print. */
export function printablePath(path: string): string {
  return path.replace(/[^\x20-\x7e]/g, '?').slice(0, 200) || '(no name)';
}
