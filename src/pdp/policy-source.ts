import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { InputError, type Problem } from './errors.ts';

/** A policy file's name and text, or part of one. */
export interface SourceText {
  readonly file: string;
  readonly text: string;
}

/** The texts of one or more policy sets, read but not yet parsed. */
export interface PolicyTexts {
  readonly policies: readonly SourceText[];
  readonly schemas: readonly SourceText[];
  readonly entities: readonly SourceText[];
  /** `bindings.yaml`. */
  readonly bindings?: readonly SourceText[];
  /** `links.json`: policies made of templates. */
  readonly links?: readonly SourceText[];
}

/**
 * Reads policy sets from folders: `*.cedar`, `entities.json`, `bindings.yaml`, `links.json`, and `schema.cedarschema` in the folder and in
 * those above it. A schema shared by several sets counts once.
 *
 * Throws `InputError` where a folder is missing, has no policies or finds no schema.
 */
export function readPolicyTexts(folders: readonly string[]): PolicyTexts {
  const problems: Problem[] = [];
  const schemas = new Map<string, SourceText>();
  const policies: SourceText[] = [];
  const [entities, bindings, links]: [SourceText[], SourceText[], SourceText[]] = [[], [], []];
  const others = [
    ['entities.json', entities],
    ['bindings.yaml', bindings],
    ['links.json', links],
  ] as const;
  for (const folder of folders) {
    const files = listFiles(folder, problems);
    if (!files) continue;
    const cedar = files.filter((file) => file.endsWith('.cedar')).sort();
    if (cedar.length === 0)
      problems.push({ where: folder, message: 'holds no *.cedar file; a policy set needs at least one' });
    policies.push(...cedar.map((file) => readText(join(folder, file))));
    for (const [name, texts] of others) if (files.includes(name)) texts.push(readText(join(folder, name)));
    const found = findSchemas(folder);
    if (found.length === 0)
      problems.push({ where: folder, message: 'finds no schema.cedarschema here or in a folder above' });
    for (const schema of found) schemas.set(schema, readText(schema));
  }
  if (problems.length > 0) throw new InputError('policies cannot be read:', problems);
  return { policies, schemas: [...schemas.values()], entities, bindings, links };
}

/** A cheap fingerprint (versions, not contents) of the files that {@link readPolicyTexts} would read, to notice changes. Never throws. */
export function policyFingerprint(folders: readonly string[]): string {
  const hash = createHash('sha256');
  for (const folder of folders) {
    const files = [
      ...(listFiles(folder, []) ?? []).map((file) => join(folder, file)),
      ...findSchemas(folder),
    ];
    for (const file of files.sort()) hash.update(`${file}\0${fileVersion(file)}\0`);
  }
  return hash.digest('hex');
}

/** Tells one version of a file from another without reading it. Never throws. */
export function fileVersion(file: string): string {
  try {
    const { ino, mtimeMs, size } = statSync(file);
    return `${ino} ${mtimeMs} ${size}`;
  } catch {
    return 'unreadable';
  }
}

function listFiles(folder: string, problems: Problem[]): string[] | undefined {
  try {
    return readdirSync(folder).filter(
      (file) =>
        /\.cedar$|^(?:entities\.json|links\.json|bindings\.yaml)$/.test(file) &&
        statSync(join(folder, file)).isFile(),
    );
  } catch (error) {
    problems.push({
      where: folder,
      message: `cannot be read as a policy set folder (${(error as Error).message})`,
    });
    return undefined;
  }
}

/** What is shared stands above, what a set adds (its application's own namespace) in its folder. */
function findSchemas(folder: string): string[] {
  const found: string[] = [];
  for (let at = resolve(folder); ; at = dirname(at)) {
    const file = join(at, 'schema.cedarschema');
    if (existsSync(file)) found.unshift(file);
    // A repository is where a policy author's files end: nothing above it is theirs.
    if (at === dirname(at) || existsSync(join(at, '.git'))) return found;
  }
}

function readText(file: string): SourceText {
  return { file, text: readFileSync(file, 'utf8') };
}
