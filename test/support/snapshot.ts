import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileSnapshot } from '../../src/pdp/compile-snapshot.ts';
import { InputError, type Problem } from '../../src/pdp/errors.ts';
import type { PolicySnapshot } from '../../src/pdp/policy-snapshot.ts';
import type { PolicyTexts } from '../../src/pdp/policy-source.ts';

/** The sample policy sets. */
export const POLICIES = fileURLToPath(new URL('../../policies', import.meta.url));

/** The schema that the sample policy sets share. */
export const SAMPLE_SCHEMA = readFileSync(join(POLICIES, 'schema.cedarschema'), 'utf8');

/** Texts of a policy set, with the sample schema unless another is given. */
export function policyTexts(
  policies: string,
  schema = SAMPLE_SCHEMA,
  entities?: readonly object[],
): PolicyTexts {
  return {
    policies: [{ file: 'test.cedar', text: policies }],
    schemas: [{ file: 'schema.cedarschema', text: schema }],
    entities: entities ? [{ file: 'entities.json', text: JSON.stringify(entities) }] : [],
  };
}

/** Compiles policies, as the server would, into a snapshot that was loaded at time 0. */
export function snapshotOf(policies: string, schema?: string, entities?: readonly object[]): PolicySnapshot {
  return compileSnapshot(policyTexts(policies, schema, entities), 0).snapshot;
}

/** The problems for which texts are refused; throws where they are not refused, or not by an `InputError`. */
export function problemsOf(run: () => unknown): readonly Problem[] {
  try {
    run();
  } catch (error) {
    if (error instanceof InputError) return error.problems;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** A policy set folder of its own; disposing removes it. */
export interface PolicyFolder extends AsyncDisposable {
  readonly path: string;
  /** Writes a file of the set. */
  write(file: string, text: string): Promise<void>;
}

/** Makes a policy set folder with the sample schema and one policy file, `main.cedar`. */
export async function createPolicyFolder(policies: string): Promise<PolicyFolder> {
  const path = await mkdtemp(join(tmpdir(), 'pdp-policies-'));
  // In one step: half a file is a change of its own to whoever looks often.
  const write = async (file: string, text: string): Promise<void> => {
    await writeFile(`${path}.next`, text);
    await rename(`${path}.next`, join(path, file));
  };
  await write('schema.cedarschema', SAMPLE_SCHEMA);
  await write('main.cedar', policies);
  return {
    path,
    write,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 20 }),
  };
}
