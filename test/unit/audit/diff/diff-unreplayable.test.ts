import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createPseudonyms } from '../../../../src/audit/privacy/pseudonyms.ts';
import { logSegments } from '../../../../src/audit/read/log-folder.ts';
import { SUBJECT_KINDS } from '../../../../src/pdp/subject-key.ts';
import { REPORT_POLICIES } from '../../../support/decision-log.ts';
import { changeBlobs, changeDecisions } from '../replay/fixture.ts';
import { type RecordedLog, recordLog, snapshotWith, told } from './fixture.ts';

const SAME = snapshotWith(REPORT_POLICIES);
const NEXT = snapshotWith(REPORT_POLICIES.replace('Group::"finance"', 'Group::"legal"'));

async function recorded(): Promise<RecordedLog> {
  return await recordLog({ groups: { alice: ['finance'], carol: ['legal'] } }, async (log) => {
    await log.ask({ user: 'alice' });
    await log.ask({ user: 'carol' });
    await log.ask({ user: 'carol' });
  });
}

describe('what replay cannot find again', () => {
  it.each([
    ['entity', 'blob_missing'],
    ['policies', 'policies_missing'],
  ])('is not compared: %s gone', async (kind, why) => {
    await using log = await recorded();
    changeBlobs(log.dir, kind, () => undefined);
    const diffs = await log.diffs(NEXT);
    expect(diffs.map(({ bucket, open }) => `${bucket} ${open?.why}`)).toEqual(
      Array(3).fill(`not_replayable ${why}`),
    );
  });

  it.each([
    ['erased', (digest: string) => `${digest} {"kind":"erased","erasure":"x"}`],
    ['blob_changed', (digest: string, payload: string) => `${digest} ${payload.replace('alice', 'malice')}`],
  ])('is not compared: %s', async (why, change) => {
    await using log = await recorded();
    changeBlobs(log.dir, 'entity', (digest, payload) =>
      payload.includes('demo/alice') ? change(digest, payload) : `${digest} ${payload}`,
    );
    const diffs = await log.diffs(NEXT);
    expect(diffs.map(({ bucket, open }) => open?.why ?? bucket)).toEqual([why, 'gained', 'gained']);
  });

  it.each([
    ['truncated', { truncated: true }],
    ['engine_unavailable', { engine: 'cedar/1.0.0 language/1.0' }],
    ['inputs_missing', { entities: undefined }],
  ])('is not compared: %s', async (why, change) => {
    await using log = await recorded();
    changeDecisions(log.dir, (record, at) => (at === 0 ? { ...record, ...change } : record));
    const diffs = await log.diffs(NEXT);
    expect(diffs.map(({ bucket, open }) => open?.why ?? bucket)).toEqual([why, 'gained', 'gained']);
  });

  it('is not compared: a hit whose origin is gone', async () => {
    await using log = await recorded();
    changeDecisions(log.dir, (record, at) => (at === 1 ? undefined : record));
    const diffs = await log.diffs(NEXT);
    expect(diffs.map(({ bucket, open }) => open?.why ?? bucket)).toEqual(['revoked', 'origin_missing']);
  });

  it('is counted where a line is no decision record', async () => {
    await using log = await recorded();
    changeDecisions(log.dir, (record, at) => (at === 0 ? { ...record, v: 9 } : record));
    const { tally } = await log.report(NEXT);
    expect(tally.buckets).toMatchObject({ not_replayable: 1, gained: 2 });
    expect([...tally.why.keys()]).toEqual(['unknown_version']);
    expect(tally.open).toEqual({ gained: 1, revoked: 1, reclassified: 1 });
  });

  it('is counted where a line can be read in two ways', async () => {
    await using log = await recorded();
    const [{ path } = { path: '' }] = logSegments(log.dir);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"decision":"ALLOW"', '"decision":"DENY","decision":"ALLOW"'));
    const { tally } = await log.report(NEXT);
    expect(tally.buckets).toMatchObject({ not_replayable: 1 });
    expect([...tally.why.keys()]).toEqual(['malformed']);
  });

  it('says where the recorded answer does not come out under its own policies', async () => {
    await using log = await recorded();
    changeDecisions(log.dir, (record, at) =>
      at === 0 ? { ...record, decision: 'DENY', reason: 'no_permit' } : record,
    );
    const { tally } = await log.report(SAME);
    expect(tally.base).toEqual({ match: 2, mismatch: 1, unknown: 0 });
    expect(tally.buckets.gained).toBe(1);
  });
});

describe('a log of pseudonyms', () => {
  it('is compared alike, and tells no names', async () => {
    const pseudonyms = createPseudonyms({ key: Buffer.alloc(32, 7), epoch: 1, kinds: [...SUBJECT_KINDS] });
    await using log = await recordLog(
      { groups: { alice: ['finance'], carol: ['legal'] }, pseudonyms },
      async (one) => {
        await one.ask({ user: 'alice' });
        await one.ask({ user: 'carol' });
        await one.ask({ user: 'carol' });
        await one.ask({ path: '/private/carol', method: 'BREW' });
      },
    );
    expect(told(await log.diffs(SAME))).toEqual(Array(4).fill('unchanged'));
    const { tally } = await log.report(NEXT);
    expect(tally.buckets).toMatchObject({ gained: 2, revoked: 1, unchanged: 1 });
    expect(tally.groups.gained.principals.size).toBe(1);
    expect(JSON.stringify([...tally.groups.gained.principals])).not.toContain('carol');
  });
});

describe('which decisions are compared', () => {
  it('is a range of time, or the same sample each time', async () => {
    await using log = await recordLog({}, async (one) => {
      for (let i = 0; i < 20; i += 1) {
        await one.ask({ path: `/reports/${i}` });
        one.clock.advance(60_000);
      }
    });
    const range = { from: '2026-01-01T00:05:00.000Z', to: '2026-01-01T00:08:00.000Z' };
    expect(await log.diffs(SAME, undefined, range)).toHaveLength(3);
    const [one, other] = [
      await log.diffs(SAME, undefined, { sample: 0.4 }),
      await log.diffs(SAME, undefined, { sample: 0.4 }),
    ];
    expect(one.map(({ record }) => record.index)).toEqual(other.map(({ record }) => record.index));
    expect(one.length).toBeLessThan(20);
  });
});
