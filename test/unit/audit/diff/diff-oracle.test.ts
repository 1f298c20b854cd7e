import { describe, expect, it } from 'vitest';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import type { RequestCase } from '../../../../src/policy-test/test-case.ts';
import { told as linesOf } from './fixture.ts';
import { type Sample, decide, recordCases, samples, without } from './sample-log.ts';

const SAMPLES = samples();

/** Every decided answer must be the one that the real stages give to the same request; returns why others cannot be told. */
async function holdAgainstTruth(cases: readonly RequestCase[], old: PolicySnapshot, next: PolicySnapshot) {
  await using log = await recordCases(cases, old);
  const diffs = await log.diffs(next);
  expect(diffs).toHaveLength(cases.length);
  const open = new Set<string | undefined>();
  for (const [at, diff] of diffs.entries()) {
    const test = cases[at];
    if (!test) continue;
    const { decision } = await decide(test, next);
    const verdict = decision.verdict === 'permit' ? 'ALLOW' : 'DENY';
    if (diff.bucket === 'not_replayable') expect(diff.open?.may).toContain(verdict);
    if (!diff.is) open.add(diff.open?.why);
    if (!diff.is) continue;
    const truth = { decision: verdict, reason: decision.reason, policies: decision.policies };
    expect({ name: test.name, ...diff.is }).toMatchObject({ name: test.name, ...truth });
  }
  return [...open];
}

function snapshotOf({ texts }: Sample): PolicySnapshot {
  return compileSnapshot(texts, 0).snapshot;
}

/** Some of them, the first and the last among them. */
function spread(ids: readonly string[]): readonly string[] {
  return ids.filter((_id, at) => at % Math.ceil(ids.length / 2) === 0 || at === ids.length - 1);
}

describe.each(SAMPLES.map((sample) => [sample.name, sample] as const))(
  'the requests of %s',
  (_name, sample) => {
    it('are all unchanged under the same policies', async () => {
      const snapshot = snapshotOf(sample);
      await using log = await recordCases(sample.cases, snapshot);
      const diffs = await log.diffs(compileSnapshot(sample.texts, 1).snapshot);
      expect(linesOf(diffs)).toEqual(sample.cases.map(() => 'unchanged'));
      expect(diffs.filter(({ base }) => base !== 'match')).toEqual([]);
    });

    it('come to what the stages make of them, with any one policy taken away or added', async () => {
      const whole = snapshotOf(sample);
      for (const id of spread(whole.policyIds)) {
        const fewer = without(sample, [id]);
        expect(fewer.policyIds).toHaveLength(whole.policyIds.length - 1);
        // What is left reads no more: all can be told, but what was refused for want of facts that nobody reads now.
        const less = await holdAgainstTruth(sample.cases, whole, fewer);
        expect(less.filter((why) => why !== 'facts_refused')).toEqual([]);
        const only = without(
          sample,
          whole.policyIds.filter((other) => other !== id),
        );
        const more = await holdAgainstTruth(sample.cases, only, whole);
        expect(more.filter((why) => why !== 'facts_refused' && why !== 'needs_facts')).toEqual([]);
      }
    });
  },
);
