import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PolicySet, findPolicySets, loadPolicySets } from '../../../../src/policy-test/policy-set.ts';
import { decideCase } from '../../../../src/policy-test/decide-case.ts';
import { createRecorder } from '../../../../src/audit/record/recorder.ts';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { decisionId } from '../../../../src/pdp/decision-id.ts';
import { denyFor, refuse } from '../../../../src/pdp/decision.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import type { PolicySnapshot } from '../../../../src/pdp/policy-snapshot.ts';
import type { Recorder } from '../../../../src/pdp/ports.ts';
import type { LogWriter } from '../../../../src/audit/log/log-writer.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { type Ask, REPORT_POLICIES, openDecisionLog } from '../../../support/decision-log.ts';
import { POLICIES } from '../../../support/snapshot.ts';
import { pseudonymsOf } from '../privacy/privacy-fixture.ts';
import { changeDecisions, decisionsIn, logFolder, replay } from './fixture.ts';

const PATHS = ['/reports/q1', '/reports/hold/1', '/public/x', '/x', '/a/%2e%2e/b', '//', '/reports/%'];

describe('replay of what the stages decided', () => {
  it('is a match, whatever was asked', async () => {
    const ask: fc.Arbitrary<Ask> = fc.record(
      {
        user: fc.constantFrom('alice', 'bob', 'carol', 'mallory"\\', '\u2028'),
        method: fc.constantFrom('GET', 'POST', 'get', 'DELETE', 'BREW', ''),
        path: fc.oneof(fc.constantFrom(...PATHS), fc.webPath({ size: 'small' })),
      },
      { requiredKeys: [] },
    );
    const asks = fc.array(ask, { minLength: 1, maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(
        asks,
        fc.constantFrom(0, 60_000),
        fc.array(fc.nat(24)),
        async (asks, maxAgeMs, cuts) => {
          using folder = logFolder();
          {
            await using log = await openDecisionLog(folder.dir, { setup: { maxAgeMs } });
            for (const [at, one] of asks.entries()) {
              await log.ask(one);
              if (cuts.includes(at)) log.writer.rotate();
            }
          }
          for (const memo of [true, false])
            expect(await replay(folder.dir, { memo })).toMatchObject({
              match: asks.length,
              mismatch: 0,
              notReplayable: 0,
            });
        },
      ),
      { numRuns: 25 },
    );
  });

  it('is a match for every request test of the sample policies', async () => {
    using folder = logFolder();
    const cases = await recordCases(folder.dir, (set) => set.snapshot);
    expect(cases).toBeGreaterThan(100);
    for (const memo of [true, false])
      expect(await replay(folder.dir, { memo })).toMatchObject({
        match: cases,
        mismatch: 0,
        notReplayable: 0,
      });
  });

  it('is a match where routes are only observed, and a mismatch where such a deny says that it was enforced', async () => {
    using folder = logFolder();
    const cases = await recordCases(folder.dir, observed);
    const denies = decisionsIn(folder.dir).filter(({ enforced }) => enforced === false);
    expect(denies.length).toBeGreaterThanOrEqual(5);
    expect(denies.every(({ http_status: status, binding }) => status === 200 && binding !== undefined)).toBe(
      true,
    );
    expect(await replay(folder.dir)).toMatchObject({ match: cases });
    changeDecisions(folder.dir, (record) => ({ ...record, enforced: true }));
    expect((await replay(folder.dir)).fields).toEqual(new Map([['enforced', denies.length]]));
  });

  it('is a match where the policies changed in between', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      await log.ask({ user: 'alice' });
      log.activate(REPORT_POLICIES.replace('"finance"', '"legal"'));
      await log.ask({ user: 'alice' });
      log.activate(REPORT_POLICIES);
      await log.ask({ user: 'alice' });
    }
    expect(decisionsIn(folder.dir).map(({ decision }) => decision)).toEqual(['ALLOW', 'DENY', 'ALLOW']);
    expect(await replay(folder.dir)).toMatchObject({ match: 3, by: { cedar: 2, reuse: 1 } });
  });

  it('is a match where a policy could not be evaluated', async () => {
    using folder = logFolder();
    const broken = (effect: string) => `${REPORT_POLICIES}
      @id("reports.broken") ${effect}(principal, action, resource)
      when { 9223372036854775807 + (if action == action then 1 else 0) > 0 };`;
    {
      await using log = await openDecisionLog(folder.dir, { policies: broken('permit') });
      await log.ask({ user: 'alice' });
      log.activate(broken('forbid'));
      await log.ask({ user: 'alice' });
    }
    expect(decisionsIn(folder.dir).map(({ reason, policy_errors: errors }) => [reason, errors])).toEqual([
      ['permitted', ['reports.broken']],
      ['policy_error', ['reports.broken']],
    ]);
    expect(await replay(folder.dir)).toMatchObject({ match: 2, by: { cedar: 2 } });
  });

  it('is a match for what was interrupted after Cedar had answered', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      const trace = await log.ask({ user: 'alice' });
      for (const reason of ['deadline_exceeded', 'cancelled', 'internal'] as const)
        await recorderOf(log.writer).record({
          ...trace,
          decision: denyFor(refuse(reason), trace.decision.snapshot),
        });
    }
    expect(await replay(folder.dir)).toMatchObject({ match: 4, by: { cedar: 1, stage_result: 3 } });
  });

  it('is a match where names are pseudonyms', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir, { pseudonyms: pseudonymsOf() });
      for (const user of ['alice', 'bob', 'carol', 'alice']) await log.ask({ user });
      log.writer.rotate();
      await log.ask({ user: 'alice' });
    }
    expect(JSON.stringify(decisionsIn(folder.dir))).not.toContain('alice');
    for (const memo of [true, false])
      expect(await replay(folder.dir, { memo })).toMatchObject({ match: 5, by: { cedar: 3, reuse: 2 } });
  });

  it('is a match where the question is too long for its line', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      for (let i = 0; i < 2; i++) await log.ask({ user: 'alice'.repeat(1000) });
    }
    expect(decisionsIn(folder.dir)[0]).toHaveProperty('question');
    expect(await replay(folder.dir)).toMatchObject({ match: 2, by: { cedar: 1, reuse: 1 } });
  });

  it('is a match for shadow decisions and explanations, on which nobody acts', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      const trace = await log.ask({ user: 'alice' });
      await recorderOf(log.writer).record({ ...trace, enforced: false, shadowOf: trace.id });
      await recorderOf(log.writer).record({ ...trace, enforced: false, explained: true });
    }
    expect(decisionsIn(folder.dir).map(({ enforced }) => enforced)).toEqual([true, false, false]);
    expect(await replay(folder.dir)).toMatchObject({ match: 3 });
  });
});

function recorderOf(writer: LogWriter, acceptsTokens = true): Recorder {
  return createRecorder({
    writer,
    onFailure: 'deny',
    httpStatus: httpStatusOf,
    engine: engineName(),
    acceptsTokens,
  });
}

/** Decides the request tests of the sample policies, each set in a segment of its own, and gives their number. */
async function recordCases(dir: string, snapshotOf: (set: PolicySet) => PolicySnapshot): Promise<number> {
  await using log = await openDecisionLog(dir);
  const workload = createWorkloadAuthenticator();
  let cases = 0;
  for (const set of loadPolicySets(findPolicySets([POLICIES]), 0)) {
    const snapshot = snapshotOf(set);
    for (const test of set.cases) {
      if (test.form !== 'request') continue;
      const trace = await decideCase(test, snapshot, workload);
      const recorder = recorderOf(log.writer, test.given.accepts_tokens ?? true);
      await recorder.record({ ...trace, id: decisionId(trace.receivedAt) });
      cases += 1;
    }
    log.writer.rotate();
  }
  return cases;
}

/** The set with all its routes in observe mode. */
function observed({ texts, snapshot }: PolicySet): PolicySnapshot {
  if (!texts.bindings?.length) return snapshot;
  const bindings = texts.bindings.map(({ file, text }) => ({
    file,
    text: text.replace(/^( *)- id: .*$/gm, '$&\n$1  observe: true'),
  }));
  return compileSnapshot({ ...texts, bindings }, 0).snapshot;
}

/** Three segments: an answer in the first is reused in the others. */
async function reusedAcrossSegments(dir: string): Promise<void> {
  await using log = await openDecisionLog(dir);
  for (let i = 0; i < 3; i++) {
    await log.ask({ user: 'alice' });
    await log.ask({ user: 'carol' });
    log.writer.rotate();
  }
}

describe('replay of a log of several segments', () => {
  it.each([1, 2, 3])(
    'finds what reused answers came from in earlier segments, with %d threads',
    async (jobs) => {
      using folder = logFolder();
      await reusedAcrossSegments(folder.dir);
      const found = await replay(folder.dir, { jobs });
      expect(found).toMatchObject({ match: 6, mismatch: 0, notReplayable: 0, by: { cedar: 2, reuse: 4 } });
    },
  );

  it('reads compressed segments and packs', async () => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    for (const name of readdirSync(folder.dir)) {
      if (!/^segment-.*(?:ndjson|blobs)$/.test(name)) continue;
      const path = join(folder.dir, name);
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
      rmSync(path);
    }
    expect(await replay(folder.dir)).toMatchObject({ match: 6, notReplayable: 0 });
    expect(await replay(folder.dir, { jobs: 2 })).toMatchObject({ match: 6, notReplayable: 0 });
  });

  it('says of reused answers that what they came from is gone where its segment was removed', async () => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    const [first] = readdirSync(folder.dir)
      .filter((name) => name.endsWith('.ndjson'))
      .sort();
    rmSync(join(folder.dir, first ?? ''));
    expect(await replay(folder.dir)).toMatchObject({ match: 0, mismatch: 0, why: { origin_missing: 4 } });
  });

  it('replays one decision, and looks up where its answer came from', async () => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    const last = decisionsIn(folder.dir).at(-1);
    const found = await replay(folder.dir, { filter: { decision: String(last?.['decision_id']) } });
    expect(found).toMatchObject({ match: 1, by: { reuse: 1 } });
  });

  it('replays only what was decided in a span of time', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      for (let i = 0; i < 4; i++) {
        await log.ask({ user: 'alice' });
        log.clock.advance(1000);
      }
    }
    const filter = { from: '2026-01-01T00:00:01.000Z', to: '2026-01-01T00:00:03.000Z' };
    expect(await replay(folder.dir, { filter })).toMatchObject({
      match: 2,
      first: '2026-01-01T00:00:01.000Z',
      last: '2026-01-01T00:00:02.000Z',
    });
  });

  it('draws a share of the records by chance', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      for (let i = 0; i < 200; i++) await log.ask({ user: 'alice' });
    }
    const { match, notReplayable } = await replay(folder.dir, { filter: { sample: 0.5 } });
    expect(notReplayable).toBe(0);
    expect(match).toBeGreaterThan(50);
    expect(match).toBeLessThan(150);
  });

  it('leaves out a line that is still being written', async () => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    const last =
      readdirSync(folder.dir)
        .filter((name) => name.endsWith('.ndjson'))
        .sort()
        .at(-1) ?? '';
    const path = join(folder.dir, last);
    writeFileSync(path, readFileSync(path, 'utf8') + '{"v":1,"kind":"deci');
    expect(await replay(folder.dir)).toMatchObject({ match: 6, notReplayable: 0 });
  });

  it('tells how far it is', async () => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    const told: number[] = [];
    await replay(folder.dir, { onProgress: (records) => void told.push(records) });
    expect(told.at(-1)).toBe(6);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
  });

  it.each([1, 2])('fails where a segment cannot be read, with %d threads', async (jobs) => {
    using folder = logFolder();
    await reusedAcrossSegments(folder.dir);
    mkdirSync(join(folder.dir, 'segment-00000000000000000001.ndjson'));
    await expect(replay(folder.dir, { jobs })).rejects.toThrow('is no file');
  });
});
