import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { openLogWriter } from '../../../../src/audit/log/log-writer.ts';
import { createRecorder } from '../../../../src/audit/record/recorder.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import { decisionId } from '../../../../src/pdp/decision-id.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import { type PolicyTexts, readPolicyTexts } from '../../../../src/pdp/policy-source.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { decideCase } from '../../../../src/policy-test/decide-case.ts';
import { findPolicySets, loadPolicySets } from '../../../../src/policy-test/policy-set.ts';
import type { RequestCase } from '../../../../src/policy-test/test-case.ts';
import { createManualClock } from '../../../support/clock.ts';
import { POLICIES } from '../../../support/snapshot.ts';
import { type RecordedLog, recordedLog } from './fixture.ts';

/** The request tests of a sample policy set, and its texts. */
export interface Sample {
  readonly name: string;
  readonly texts: PolicyTexts;
  readonly cases: readonly RequestCase[];
}

/** Sample policy sets with request tests. */
export function samples(path = POLICIES): readonly Sample[] {
  return loadPolicySets(findPolicySets([path]), 0)
    .map(({ name, folder, cases }) => ({
      name,
      texts: readPolicyTexts([folder]),
      cases: cases.filter((one): one is RequestCase => 'given' in one),
    }))
    .filter(({ cases }) => cases.length > 0);
}

/** Decides a request test by the real stages. */
export async function decide(test: RequestCase, snapshot: PolicySnapshot): Promise<DecisionTrace> {
  return await decideCase(test, snapshot, createWorkloadAuthenticator());
}

/** A log of request tests, decided under a snapshot and recorded. */
export async function recordCases(
  cases: readonly RequestCase[],
  snapshot: PolicySnapshot,
): Promise<RecordedLog> {
  const dir = await mkdtemp(join(tmpdir(), 'pdp-diff-sample-'));
  const clock = createManualClock();
  const quiet = () => undefined;
  await using writer = await openLogWriter({
    dir,
    log: 'example.com/pdp/test',
    durability: 'written',
    plaintext: [],
    logger: { info: quiet, warn: quiet, error: quiet },
    clock,
  });
  const recorder = createRecorder({
    writer,
    onFailure: 'deny',
    httpStatus: httpStatusOf,
    engine: engineName(),
    acceptsTokens: true,
  });
  for (const test of cases)
    await recorder.record({ ...(await decide(test, snapshot)), id: decisionId(clock.now()) });
  return recordedLog(dir);
}

/** Policies of a set without those with some ids. */
export function without({ texts }: Sample, ids: readonly string[]): PolicySnapshot {
  const policies = texts.policies.map(({ file, text }) => ({ file, text: withoutIds(text, ids) }));
  return compileSnapshot({ ...texts, policies }, 0).snapshot;
}

/** Each is ended by a semicolon at the end of a line. */
function withoutIds(text: string, ids: readonly string[]): string {
  return text
    .split(/(?<=;\n)/)
    .filter((statement) => !ids.some((id) => statement.includes(`@id("${id}")`)))
    .join('');
}
