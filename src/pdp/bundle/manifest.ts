import { hash } from 'node:crypto';
import type { InputError, Problem } from '../errors.ts';
import { isRecord } from '../external-json.ts';
import {
  BUNDLE_LIMITS,
  MANIFEST_PATH,
  type PolicyFiles,
  policyPathProblem,
  printablePath,
  refusal,
} from './policy-path.ts';

/** What a bundle or a signed folder says of itself. */
export interface Manifest {
  /** Grows with each publication; an older one never replaces a newer one. 1 to 2^53 - 1. */
  readonly revision: number;
  /** RFC 3339, UTC. */
  readonly created: string;
  /** SHA-256, hex, by path. */
  readonly files: ReadonlyMap<string, string>;
}

/** Writes the manifest of files, sorted by path. Throws `TypeError` for a revision or a time that a manifest cannot hold. */
export function writeManifest(files: PolicyFiles, revision: number, now: number): Buffer {
  if (!isRevision(revision)) throw new TypeError('a revision is an integer from 1 to 2^53 - 1');
  const hashes = [...files].map(([path, content]) => [path, sha256(content)] as const).sort(byPath);
  const created = new Date(now).toISOString();
  const manifest = { version: 1, revision, created, files: Object.fromEntries(hashes) };
  return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * Parses a manifest. It may be laid out at will, but each value can be written in one way only: a key that is there twice, an escape
 * or another spelling of a number is refused, as is a key that is not known. Throws `InputError`.
 */
export function parseManifest(bytes: Buffer): Manifest {
  if (bytes.length > BUNDLE_LIMITS.manifestBytes)
    throw refused(`is larger than ${BUNDLE_LIMITS.manifestBytes} bytes`);
  const text = bytes.toString('utf8');
  const value = parseJson(text);
  if (!isRecord(value)) throw refused('is not a JSON object');
  if (unspaced(JSON.stringify(value)) !== unspaced(text))
    throw refused('has a key twice, or a value that is not in its plain form');
  const { version, revision, created, files, ...unknown } = value;
  const [other] = Object.keys(unknown);
  if (version !== 1) throw refused("has no 'version' of 1; another version of pdp may have made it");
  if (other !== undefined) throw refused(`has the unknown key '${printablePath(other)}'`);
  if (!isRevision(revision)) throw refused("has no 'revision' that is an integer from 1 to 2^53 - 1");
  if (!isTimestamp(created)) throw refused("has no 'created' that is an RFC 3339 time in UTC");
  if (!isRecord(files)) throw refused("has no object 'files'");
  return { revision, created, files: parseHashes(files) };
}

/**
 * Holds files against the manifest: each is in it with this very content, and each that it names is there. Throws `InputError` with
 * every difference.
 */
export function assertFilesMatch(manifest: Manifest, files: PolicyFiles): void {
  const problems: Problem[] = [];
  for (const [path, content] of files) {
    const wanted = manifest.files.get(path);
    const where = printablePath(path);
    if (wanted === undefined) problems.push({ where, message: `is not in ${MANIFEST_PATH}` });
    else if (wanted !== sha256(content))
      problems.push({ where, message: `is not what ${MANIFEST_PATH} says (another SHA-256)` });
  }
  for (const path of manifest.files.keys())
    if (!files.has(path)) problems.push({ where: path, message: `is in ${MANIFEST_PATH} but missing` });
  if (problems.length > 0) throw refusal(...problems);
}

/** Names the content that a manifest vouches for, whatever its revision and time: SHA-256, hex. */
export function contentDigest(manifest: Manifest): string {
  return sha256(Buffer.from(JSON.stringify([...manifest.files].sort(byPath))));
}

function parseHashes(files: object): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const [path, value] of Object.entries(files)) {
    const problem = policyPathProblem(path);
    if (problem !== undefined) throw refusal({ where: printablePath(path), message: problem });
    if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value))
      throw refused(`has no SHA-256 in hex for '${path}'`);
    hashes.set(path, value);
  }
  return hashes;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Layout taken out. White space within strings goes too: no key or value that is taken holds any. */
function unspaced(json: string): string {
  return json.replace(/[ \t\r\n]/g, '');
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isTimestamp(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(value) &&
    !Number.isNaN(Date.parse(value))
  );
}

function byPath([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

function sha256(bytes: Buffer): string {
  return hash('sha256', bytes, 'hex');
}

function refused(message: string): InputError {
  return refusal({ where: MANIFEST_PATH, message });
}
