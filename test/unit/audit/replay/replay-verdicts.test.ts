import { appendFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Ask, openDecisionLog } from '../../../support/decision-log.ts';
import { type Loose, changeBlobs, changeDecisions, decisionsIn, logFolder, replay } from './fixture.ts';

const ALICE: Ask = { user: 'alice' };

const NOBODY_ASKED: Loose = { decision: 'DENY', policies: [] };

/** A log of one decision, whose question is in its record. */
async function oneDecision(dir: string, ask: Ask = ALICE): Promise<void> {
  await using log = await openDecisionLog(dir, { setup: { maxAgeMs: 0 } });
  await log.ask(ask);
}

/** What comes of one decision whose record was changed. */
async function changed(change: Loose, ask?: Ask) {
  using folder = logFolder();
  await oneDecision(folder.dir, ask);
  changeDecisions(folder.dir, (record) => ({ ...record, ...change }));
  return await replay(folder.dir);
}

describe('a record that was changed', () => {
  const mismatches: readonly [field: string, change: Loose, ask?: Ask][] = [
    ['decision', { decision: 'DENY' }],
    ['decision', { decision: 'ALLOW' }, { user: 'carol' }],
    ['reason', { reason: 'no_permit' }],
    ['reason', { reason: 'policy_error' }, { user: 'alice', path: '/reports/hold/1' }],
    ['policies', { policies: ['reports.public'] }],
    ['policies', { policies: [] }],
    ['policies', { policies: ['reports.finance', 'reports.finance'] }],
    ['policy_errors', { policy_errors: ['reports.public'] }],
    ['policy_errors', { policy_errors: 'none' }],
    ['http_status', { http_status: 403 }],
    ['http_status', { http_status: undefined }],
    ['enforced', { enforced: false }],
    ['enforced', { shadow_of: 'x' }],
    ['enforced', { explained: true }],
    ['reason', { accepts_tokens: true }, { path: '/reports/q1' }],
    ['decision', { principal: 'ZeroTrust::User::"demo/carol"' }],
    ['stage', { stage: 'gather' }],
    ['stage', { stage: 'record' }],
    ['stage', { stage: 'nowhere' }],
    ['decision', { reason: 'deadline_exceeded' }],
    ['reason', { stage: 'gather', reason: 'because', decision: 'DENY' }],
    ['message', { message: 'another' }, { user: 'alice', path: '/reports/hold/1' }],
    ['message', { message: undefined }, { user: 'alice', path: '/reports/hold/1' }],
    ['message', { message: 'on legal hold' }],
    ['cause', { cause: 'expired' }],
    ['evidence', { evidence: 'sha256:x' }],
    ['accepts_tokens', { accepts_tokens: true }],
    ['principal', { user: 'demo/carol' }],
    ['action', { method: 'POST' }],
    ['resource', { path: '/public/1' }],
    ['resource', { destination_identity: { spiffe_id: 'spiffe://prod.example/other' } }],
    // What never needs Cedar to be asked is no way around it.
    ['stage', { ...NOBODY_ASKED, stage: 'bind', reason: 'no_permit', http_status: 403 }],
    ['stage', { ...NOBODY_ASKED, stage: 'authenticate', reason: 'token_expired', http_status: 401 }],
    ['stage', { ...NOBODY_ASKED, stage: 'evaluate', reason: 'token_expired', http_status: 401 }],
    ['stage', { ...NOBODY_ASKED, stage: 'decode', reason: 'overloaded', http_status: 503 }],
    ['stage', { ...NOBODY_ASKED, stage: 'bind', reason: 'engine_fault', http_status: 503 }],
  ];

  it.each(mismatches)('is a mismatch of %s: %j', async (field, change, ask) => {
    const { match, mismatch, notReplayable, mismatches: found } = await changed(change, ask);
    expect({ match, mismatch, notReplayable }).toEqual({ match: 0, mismatch: 1, notReplayable: 0 });
    expect(found[0]?.verdict.field).toBe(field);
  });

  it('says what was recorded and what comes out', async () => {
    const {
      mismatches: [first],
      fields,
    } = await changed({ policies: ['reports.public'] });
    expect(first).toMatchObject({
      index: 1,
      timestamp: '2026-01-01T00:00:00.000Z',
      verdict: { by: 'cedar', recorded: 'reports.public', replayed: 'reports.finance' },
    });
    expect([...fields]).toEqual([['policies', 1]]);
  });

  const refusals: readonly [why: string, change: Loose][] = [
    ['unknown_version', { v: 2 }],
    ['unknown_version', { v: undefined }],
    ['engine_unavailable', { engine: 'cedar/3.0.0 language/3.0' }],
    ['truncated', { truncated: true }],
    ['malformed', { decision: 'MAYBE' }],
    ['malformed', { policies: [1] }],
    ['malformed', { decision_id: 7 }],
    ['inputs_missing', { entities: undefined }],
    ['inputs_missing', { engine: undefined }],
    ['inputs_missing', { snapshot: undefined }],
    ['inputs_missing', { principal: 'nobody' }],
    ['inputs_missing', { cache: { hit: true } }],
    ['policies_missing', { snapshot: `sha256:${'0'.repeat(64)}` }],
    ['blob_missing', { entities: ['0'.repeat(43)] }],
    ['blob_missing', { context: '0'.repeat(43) }],
    ['blob_missing', { question: '0'.repeat(43) }],
    ['origin_missing', { cache: { hit: true, of: '01890000-0000-7000-8000-000000000000' } }],
  ];

  it.each(refusals)('is not replayable for %s: %j', async (why, change) => {
    const { match, mismatch, unreplayed } = await changed(change);
    expect({ match, mismatch }).toEqual({ match: 0, mismatch: 0 });
    expect(unreplayed.map(({ verdict }) => verdict.why)).toEqual([why]);
  });

  it('is told where a line holds no record at all', async () => {
    using folder = logFolder();
    await oneDecision(folder.dir);
    const segment = readdirSync(folder.dir).find((name) => name.endsWith('.ndjson')) ?? '';
    appendFileSync(join(folder.dir, segment), 'no record\n[1]\n');
    expect(await replay(folder.dir)).toMatchObject({ match: 1, why: { malformed: 2 } });
  });
});

describe('a refusal before policies were asked', () => {
  const BAD: Ask = { user: 'alice', path: '/a/%2e%2e/b' };

  it('is held against the table of reasons, and counted apart', async () => {
    const { match, by } = await changed({}, BAD);
    expect(match).toBe(1);
    expect(by).toEqual({ cedar: 0, memo: 0, reuse: 0, stage_result: 1 });
  });

  it.each([
    ['decision', { decision: 'ALLOW' }],
    ['http_status', { http_status: 200 }],
    ['policies', { policies: ['reports.public'] }],
    ['policy_errors', { policy_errors: ['reports.public'] }],
    ['enforced', { enforced: false }],
    ['stage', { reason: 'permitted' }],
    ['http_status', { reason: 'overloaded' }],
    ['stage', { reason: 'policy_forbids' }],
    ['stage', { reason: 'no_permit' }],
    ['stage', { reason: 'token_expired', http_status: 401 }],
    ['stage', { stage: 'evaluate' }],
    ['cause', { cause: 'expired' }],
    ['message', { message: 'go away' }],
  ] as const)('is a mismatch of %s where the table says otherwise: %j', async (field, change) => {
    const { mismatches: found } = await changed(change, BAD);
    expect(found.map(({ verdict }) => [verdict.by, verdict.field])).toEqual([['stage_result', field]]);
  });
});

describe('a line that can be read in two ways', () => {
  async function rewritten(change: (line: string) => string) {
    using folder = logFolder();
    await oneDecision(folder.dir);
    const segment = readdirSync(folder.dir).find((name) => name.endsWith('.ndjson')) ?? '';
    const path = join(folder.dir, segment);
    const lines = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, lines.map((line) => (line.includes('"decision"') ? change(line) : line)).join('\n'));
    return await replay(folder.dir);
  }

  it.each([
    ['a member twice', (line: string) => line.replace('"decision":', '"decision":"DENY","decision":')],
    ['its kind twice', (line: string) => line.replace(/\}$/, ',"kind":"heartbeat"}')],
    ['the kind of a record about the log', (line: string) => line.replace('"decision"', '"heartbeat"')],
    ['spaces', (line: string) => line.replace(':', ': ')],
  ])('is no record: %s', async (_name, change) => {
    expect(await rewritten(change)).toMatchObject({ match: 0, mismatch: 0, why: { malformed: 1 } });
  });
});

describe('a pack that was changed', () => {
  async function withBlobs(kind: string, change: (digest: string, payload: string) => string | undefined) {
    using folder = logFolder();
    await oneDecision(folder.dir);
    changeBlobs(folder.dir, kind, change);
    return (await replay(folder.dir)).unreplayed.map(({ verdict: { why, about } }) => [why, about]);
  }

  it('is told where an entity is not what its digest says', async () => {
    const found = await withBlobs(
      'entity',
      (digest, payload) => `${digest} ${payload.replace('finance', 'legal')}`,
    );
    expect(found).toEqual([['blob_changed', expect.any(String)]]);
  });

  it('is told where an entity was taken out', async () => {
    expect(await withBlobs('entity', () => undefined)).toEqual([['blob_missing', expect.any(String)]]);
  });

  it('is told where an entity was erased', async () => {
    const erased = '{"kind":"erased","erasure":"5a0f6e3c-0000-4000-8000-000000000000"}';
    const found = await withBlobs('entity', (digest) => `${digest} ${erased}`);
    expect(found).toEqual([['erased', expect.any(String)]]);
  });

  it('is told where the policies were taken out', async () => {
    const [record] = await withBlobs('policies', () => undefined);
    expect(record).toEqual(['policies_missing', expect.stringMatching(/^sha256:/)]);
  });

  it.each([
    ['another policy', (payload: string) => payload.replace('/public/*', '/*')],
    ['policies that do not compile', (payload: string) => payload.replace('permit(', 'permits(')],
    ['no policies', () => '{"kind":"policies","value":7}'],
    ['no JSON', () => '{"kind":"policies"'],
  ])('is told where the digest of the policies names %s', async (_name, change) => {
    const found = await withBlobs('policies', (digest, payload) => `${digest} ${change(payload)}`);
    expect(found).toEqual([['policies_changed', expect.stringMatching(/^sha256:/)]]);
  });

  it('is not told where the policies only have other comments, for they mean the same', async () => {
    const found = await withBlobs(
      'policies',
      (digest, payload) => `${digest} ${payload.replace('@id', '// x\\n@id')}`,
    );
    expect(found).toEqual([]);
  });

  it('is told where there is no pack', async () => {
    using folder = logFolder();
    await oneDecision(folder.dir);
    for (const name of readdirSync(folder.dir)) if (name.endsWith('.blobs')) rmSync(join(folder.dir, name));
    expect((await replay(folder.dir)).why).toMatchObject({ policies_missing: 1 });
  });

  it('is told of the segment that lacks a blob, although another has it', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir, { setup: { maxAgeMs: 0 } });
      await log.ask(ALICE);
      log.writer.rotate();
      await log.ask(ALICE);
    }
    const last =
      readdirSync(folder.dir)
        .filter((name) => name.endsWith('.blobs'))
        .sort()
        .at(-1) ?? '';
    rmSync(join(folder.dir, last));
    for (const memo of [true, false])
      expect(await replay(folder.dir, { memo })).toMatchObject({ match: 1, notReplayable: 1 });
  });
});

describe('a reused answer', () => {
  /** Two decisions: the second reuses the answer of the first. */
  async function reused(dir: string): Promise<void> {
    await using log = await openDecisionLog(dir);
    await log.ask(ALICE);
    await log.ask(ALICE);
  }

  async function withHit(change: (record: Loose, at: number) => Loose | undefined) {
    using folder = logFolder();
    await reused(folder.dir);
    changeDecisions(folder.dir, change);
    return await replay(folder.dir);
  }

  it('is held against what the decision that it names comes to', async () => {
    expect(await withHit((record) => record)).toMatchObject({ match: 2, by: { cedar: 1, reuse: 1 } });
  });

  it.each([
    ['decision', { decision: 'DENY' }],
    ['reason', { reason: 'policy_forbids' }],
    ['policies', { policies: [] }],
    ['enforced', { enforced: false }],
    ['http_status', { http_status: 401 }],
    ['snapshot', { snapshot: 'sha256:other' }],
    ['principal', { principal: 'x', action: 'y', resource: 'z' }],
    ['principal', { user: 'demo/carol' }],
    ['action', { method: 'HEAD' }],
    ['resource', { path: '/reports/q2' }],
    ['principal', { binding: 'reports' }],
    ['principal', { method: undefined }],
    ['engine', { engine: 'cedar/1' }],
    ['context', { context: {} }],
    ['explained', { explained: true, enforced: false }],
    ['accepts_tokens', { accepts_tokens: false }],
  ] as const)('is a mismatch where its %s was changed', async (field, change) => {
    const { mismatches: found, match } = await withHit((record, at) =>
      at === 1 ? { ...record, ...change } : record,
    );
    expect(match).toBe(1);
    expect(found.map(({ verdict }) => [verdict.by, verdict.field])).toEqual([['reuse', field]]);
  });

  it('comes out otherwise too where the inputs of its origin were changed', async () => {
    const found = await withHit((record, at) =>
      at === 0 ? { ...record, principal: 'ZeroTrust::User::"demo/carol"' } : record,
    );
    expect(found).toMatchObject({ match: 0, mismatch: 2 });
  });

  it('is a mismatch where what it names was decided later, or is itself', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      await log.ask({ user: 'alice', path: '/reports/q2' });
      await log.ask(ALICE);
      await log.ask(ALICE);
    }
    const [, origin, hit] = decisionsIn(folder.dir);
    for (const of of [hit?.['decision_id'], origin?.['decision_id']]) {
      changeDecisions(folder.dir, (record, at) =>
        at === 0 ? { ...hit, index: record['index'], cache: { hit: true, of } } : record,
      );
      expect((await replay(folder.dir)).mismatches[0]?.verdict).toMatchObject({
        by: 'reuse',
        field: 'cache',
      });
    }
  });

  it('is right where only the outcome of its origin was changed', async () => {
    const found = await withHit((record, at) => (at === 0 ? { ...record, decision: 'DENY' } : record));
    expect(found).toMatchObject({ match: 1, mismatch: 1, by: { reuse: 1 } });
  });

  it('is right where its origin was interrupted after Cedar had answered', async () => {
    const late = { decision: 'DENY', reason: 'deadline_exceeded', policies: [], http_status: 503 };
    const found = await withHit((record, at) => (at === 0 ? { ...record, ...late } : record));
    expect(found).toMatchObject({ match: 2, by: { reuse: 1, stage_result: 1 } });
  });

  it('cannot be replayed where its origin is gone', async () => {
    const { why } = await withHit((record, at) => (at === 0 ? undefined : record));
    expect(why).toMatchObject({ origin_missing: 1 });
  });

  it('cannot be replayed where its origin cannot', async () => {
    const { why } = await withHit((record, at) => (at === 0 ? { ...record, engine: 'cedar/1' } : record));
    expect(why).toMatchObject({ engine_unavailable: 2 });
  });

  it('cannot be replayed where what it names is a reused answer itself', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir);
      for (let i = 0; i < 3; i++) await log.ask(ALICE);
    }
    const second = decisionsIn(folder.dir)[1]?.['decision_id'];
    changeDecisions(folder.dir, (record, at) =>
      at === 2 ? { ...record, cache: { hit: true, of: second } } : record,
    );
    expect(await replay(folder.dir)).toMatchObject({ match: 2, why: { inputs_missing: 1 } });
  });

  it('cannot be replayed where the facts of its origin were erased', async () => {
    using folder = logFolder();
    await reused(folder.dir);
    changeBlobs(folder.dir, 'entity', (digest) => `${digest} {"kind":"erased","erasure":"x"}`);
    expect((await replay(folder.dir)).why).toMatchObject({ erased: 2 });
  });
});

describe('what the engine refused', () => {
  it('is refused again', async () => {
    using folder = logFolder();
    await oneDecision(folder.dir);
    changeDecisions(folder.dir, (record) => ({ ...record, context: { unheard: { of: 1 } } }));
    const { mismatches: found } = await replay(folder.dir);
    expect(found[0]?.verdict).toMatchObject({ field: 'decision', replayed: 'DENY' });
    changeDecisions(folder.dir, (record) => ({
      ...record,
      decision: 'DENY',
      reason: 'attribute_refused',
      policies: [],
      http_status: 403,
      // There was no answer that could have come from the cache.
      cache: undefined,
    }));
    for (const memo of [true, false])
      expect(await replay(folder.dir, { memo })).toMatchObject({ match: 1, by: { cedar: 1 } });
  });

  it('is a mismatch where it is not', async () => {
    const refused = { decision: 'DENY', reason: 'attribute_refused', policies: [], http_status: 403 };
    expect(await changed({ ...refused, cache: undefined })).toMatchObject({ mismatch: 1 });
  });

  it('is no question to ask again where the engine had answered, and the answer could not be told', async () => {
    const refused = { decision: 'DENY', reason: 'attribute_refused', policies: [], http_status: 403 };
    expect(await changed(refused)).toMatchObject({ match: 1, by: { stage_result: 1 } });
  });
});

describe('the memory of evaluations', () => {
  it('never answers for another question', async () => {
    using folder = logFolder();
    {
      await using log = await openDecisionLog(folder.dir, { setup: { maxAgeMs: 0 } });
      for (let i = 0; i < 3; i++)
        for (const user of ['alice', 'carol', undefined]) await log.ask(user === undefined ? {} : { user });
    }
    expect(decisionsIn(folder.dir)).toHaveLength(9);
    expect(await replay(folder.dir)).toMatchObject({ match: 9, by: { cedar: 3, memo: 6 } });
    expect(await replay(folder.dir, { memo: false })).toMatchObject({ match: 9, by: { cedar: 9, memo: 0 } });
  });
});
