import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { compileSnapshot } from '../../src/pdp/compile-snapshot.ts';
import type { RequestCase } from '../../src/policy-test/test-case.ts';
import { runPdp } from '../support/app.ts';
import { POLICIES } from '../support/snapshot.ts';
import { recordCases, samples } from '../unit/audit/diff/sample-log.ts';

interface Doctor {
  readonly subject: string;
  readonly department: string;
  readonly method?: string;
}

/** Appointment a-17 is cardiology's, and Dr. Grey's. */
const VISITS: readonly Doctor[] = [
  { subject: 'grey', department: 'cardiology' },
  { subject: 'grey', department: 'cardiology', method: 'PUT' },
  { subject: 'hahn', department: 'oncology' },
  { subject: 'hahn', department: 'oncology' },
  { subject: 'yang', department: 'cardiology' },
  { subject: 'yang', department: 'cardiology', method: 'PUT' },
];

function visit(base: RequestCase, { subject, department, method = 'GET' }: Doctor): RequestCase {
  const { given } = base;
  const facts = (given.facts ?? []).map((fact) =>
    fact.subject === 'user' ? { ...fact, attributes: { ...fact.attributes, department } } : fact,
  );
  return {
    ...base,
    given: { ...given, method, facts, ...(given.user && { user: { ...given.user, subject } }) },
  };
}

/** The clinic's second version: the whole hospital views, and editing is not for doctors any more. */
async function secondVersion(): Promise<AsyncDisposable & { readonly set: string }> {
  const root = await mkdtemp(join(tmpdir(), 'pdp-clinic-'));
  const set = join(root, 'clinic');
  await cp(join(POLICIES, 'clinic'), set, { recursive: true });
  await cp(join(POLICIES, 'schema.cedarschema'), join(root, 'schema.cedarschema'));
  const file = join(set, 'clinic.cedar');
  const text = await readFile(file, 'utf8');
  const changed = text
    .replace('  principal.department == resource.department &&\n', '')
    .replace(
      '"clinic/doctors",\n  action == Clinic::Action::"edit"',
      '"clinic/registrars",\n  action == Clinic::Action::"edit"',
    );
  expect(changed.length).toBeLessThan(text.length);
  await writeFile(file, changed);
  return { set, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true, maxRetries: 20 }) };
}

it('the clinic: exactly those gain and lose whom the second version of its policies is about', async () => {
  const [clinic] = samples(join(POLICIES, 'clinic'));
  const base = clinic?.cases[0];
  if (!clinic || !base) throw new Error('the clinic has no request tests');
  const snapshot = compileSnapshot(clinic.texts, 0).snapshot;
  await using log = await recordCases(
    [...clinic.cases, ...VISITS.map((doctor) => visit(base, doctor))],
    snapshot,
  );
  await using next = await secondVersion();

  const { code, out } = await runPdp(
    'audit',
    'diff',
    log.dir,
    '--policies',
    next.set,
    '--json',
    '--fail-on',
    'gained',
  );
  const report = JSON.parse(out) as Record<
    'gained' | 'revoked',
    { by_principal: { groups: readonly object[] } }
  >;
  expect(code).toBe(1);
  const people = (bucket: 'gained' | 'revoked') => report[bucket].by_principal.groups;
  expect(people('gained')).toMatchObject([
    { principal: 'ZeroTrust::User::"clinic/hahn"', decisions: 2 },
    { principal: 'ZeroTrust::User::"clinic/grey"', decisions: 1 },
  ]);
  expect(people('revoked')).toMatchObject([{ principal: 'ZeroTrust::User::"clinic/grey"' }]);
  // One edit was refused for what an information point said, which was too old.
  expect(JSON.parse(out)).toMatchObject({
    buckets: { not_replayable: 1, error: 0 },
    not_replayable: [{ why: 'facts_refused', groups: [{ decisions: 1 }] }],
  });

  const same = await runPdp(
    'audit',
    'diff',
    log.dir,
    '--policies',
    join(POLICIES, 'clinic'),
    '--fail-on',
    'gained,revoked,reclassified',
  );
  expect(same.code).toBe(0);
  expect(same.out).toContain(`All ${clinic.cases.length + VISITS.length} decisions would come out the same.`);
});
