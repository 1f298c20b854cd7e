import { isUtf8 } from 'node:buffer';
import type { Problem } from '../errors.ts';
import type { PolicyTexts, SourceText } from '../policy-source.ts';
import { type PolicyFiles, policyPathProblem, printablePath, refusal, SCHEMA_FILE } from './policy-path.ts';

/** The texts of the policy sets in a bundle. */
export interface BundleTexts extends PolicyTexts {
  readonly bindings: readonly SourceText[];
  readonly links: readonly SourceText[];
}

/**
 * Makes texts of files as `readPolicyTexts` does of folders: a set is a folder with `*.cedar` in it, its schema is the one at the top
 * together with its own. `nameOf` gives the name that problems with a file are told under.
 *
 * Throws `InputError` with every file that has no place in a bundle or is not UTF-8, and every set without policies or schema.
 */
export function textsOf(files: PolicyFiles, nameOf: (path: string) => string = (path) => path): BundleTexts {
  const problems: Problem[] = [];
  const texts = new Map<string, SourceText>();
  for (const [path, content] of files) {
    const problem = policyPathProblem(path);
    const text = decode(content);
    if (problem !== undefined) problems.push({ where: printablePath(path), message: problem });
    else if (text === undefined) problems.push({ where: path, message: 'is not UTF-8 text' });
    else texts.set(path, { file: nameOf(path), text });
  }
  if (problems.length > 0) throw refusal(...problems);
  return assemble(texts);
}

function assemble(texts: ReadonlyMap<string, SourceText>): BundleTexts {
  const paths = [...texts.keys()].sort();
  const pick = (wanted: (path: string) => boolean): SourceText[] =>
    paths.filter(wanted).flatMap((path) => texts.get(path) ?? []);
  const sets = setsIn(paths);
  const withPolicies = new Set(setsIn(paths.filter((path) => path.endsWith('.cedar'))));
  const missing = sets.flatMap((set) => setProblems(set, withPolicies.has(set), texts));
  if (sets.length === 0)
    missing.push({ where: 'policies', message: 'hold no policy set: no folder with *.cedar files' });
  if (missing.length > 0) throw refusal(...missing);
  const schemas = new Set(sets.flatMap((set) => schemasOf(set, texts)));
  return {
    policies: pick((path) => path.endsWith('.cedar')),
    schemas: pick((path) => schemas.has(path)),
    entities: pick((path) => path.endsWith('/entities.json')),
    bindings: pick((path) => path.endsWith('/bindings.yaml')),
    links: pick((path) => path.endsWith('/links.json')),
  };
}

/** Names of the policy sets that paths belong to. */
function setsIn(paths: Iterable<string>): string[] {
  return [
    ...new Set([...paths].flatMap((path) => (path.includes('/') ? [path.slice(0, path.indexOf('/'))] : []))),
  ];
}

function setProblems(set: string, hasPolicies: boolean, texts: ReadonlyMap<string, SourceText>): Problem[] {
  const problems: Problem[] = [];
  if (!hasPolicies)
    problems.push({ where: set, message: 'holds no *.cedar file; a policy set needs at least one' });
  if (schemasOf(set, texts).length === 0)
    problems.push({ where: set, message: `has no ${SCHEMA_FILE}, and there is none at the top to share` });
  return problems;
}

/** The shared one and the set's own, as `readPolicyTexts` joins them. */
function schemasOf(set: string, texts: ReadonlyMap<string, SourceText>): string[] {
  return [SCHEMA_FILE, `${set}/${SCHEMA_FILE}`].filter((path) => texts.has(path));
}

/** A byte order mark stays, as it does in a file read from disk. */
function decode(content: Buffer): string | undefined {
  return isUtf8(content) ? content.toString('utf8') : undefined;
}
