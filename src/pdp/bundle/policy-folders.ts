import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { InputError, type Problem } from '../errors.ts';
import { BUNDLE_LIMITS, isPolicyFileName, type PolicyFiles, SCHEMA_FILE } from './policy-path.ts';

/**
 * Reads the policy files of set folders as a bundle lays them out: `<folder name>/<file>`, and at the top the schema that sets without
 * one of their own find in a folder above. Throws `InputError` for a folder that cannot be read, two of the same name, two shared
 * schemas, or more than a bundle may hold.
 */
export function readSetFolders(folders: readonly string[]): PolicyFiles {
  const problems: Problem[] = [];
  const disk = new Map<string, string>();
  const sets = new Map<string, string>();
  for (const folder of folders) {
    const set = basename(resolve(folder));
    const names = policyFileNames(folder, problems);
    if (sets.has(set)) problems.push({ where: folder, message: `has the name of ${sets.get(set)}` });
    sets.set(set, folder);
    for (const name of names) disk.set(`${set}/${name}`, join(folder, name));
    const shared = names.includes(SCHEMA_FILE) ? undefined : sharedSchema(folder);
    const other = disk.get(SCHEMA_FILE);
    if (shared === undefined) continue;
    if (other !== undefined && other !== shared)
      problems.push({
        where: folder,
        message: `shares ${shared}, other sets share ${other}; pack them apart`,
      });
    disk.set(SCHEMA_FILE, shared);
  }
  if (problems.length > 0) throw cannotRead(problems);
  return readFiles(disk);
}

/**
 * Reads every policy file of the sets in a root folder: its `schema.cedarschema`, and the policy files in its folders. A `*.cedar` file
 * in the root itself comes along under its name, to be refused: it belongs to no set. Throws `InputError`.
 */
export function readRootFolder(root: string): PolicyFiles {
  const problems: Problem[] = [];
  const disk = new Map<string, string>();
  for (const name of listFolder(root, problems)) {
    const at = join(root, name);
    if (isFolder(at)) {
      // Dot folders (.git, ..data of a mounted Kubernetes volume) are no sets.
      if (name.startsWith('.')) continue;
      for (const file of policyFileNames(at, problems)) disk.set(`${name}/${file}`, join(at, file));
    } else if (name === SCHEMA_FILE || name.endsWith('.cedar')) disk.set(name, at);
  }
  if (problems.length > 0) throw cannotRead(problems);
  return readFiles(disk);
}

function readFiles(disk: ReadonlyMap<string, string>): PolicyFiles {
  const files = new Map<string, Buffer>();
  let size = 0;
  if (disk.size > BUNDLE_LIMITS.files - 2)
    throw cannotRead([{ where: 'policies', message: `hold more than ${BUNDLE_LIMITS.files - 2} files` }]);
  for (const [path, file] of [...disk].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const content = readContent(file);
    size += content.length;
    if (size > BUNDLE_LIMITS.unpackedBytes)
      throw cannotRead([{ where: file, message: `makes it more than ${BUNDLE_LIMITS.unpackedBytes} bytes` }]);
    files.set(path, content);
  }
  return files;
}

function readContent(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw cannotRead([{ where: file, message: `cannot be read (${(error as Error).message})` }]);
  }
}

function policyFileNames(folder: string, problems: Problem[]): string[] {
  return listFolder(folder, problems).filter(
    (name) => isPolicyFileName(name) && !isFolder(join(folder, name)),
  );
}

function listFolder(folder: string, problems: Problem[]): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    problems.push({ where: folder, message: `cannot be read as a folder (${(error as Error).message})` });
    return [];
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The nearest schema above a set folder, looked for as far up as `readPolicyTexts` looks. */
function sharedSchema(folder: string): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const file = join(at, SCHEMA_FILE);
    if (existsSync(file)) return file;
    if (at === dirname(at) || existsSync(join(at, '.git'))) return undefined;
  }
}

function cannotRead(problems: readonly Problem[]): InputError {
  return new InputError('policies cannot be read:', problems);
}
