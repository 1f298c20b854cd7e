import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { explainDecision } from '../../../../src/audit/query/explain-decision.ts';
import { explainedText } from '../../../../src/audit/query/explain-text.ts';
import type { WhatIf } from '../../../../src/audit/query/counterfactual.ts';
import { parseChange } from '../../../../src/audit/query/what-if.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';
import { changeBlobs, changeDecisions } from '../replay/fixture.ts';
import { identityFile, seal } from '../verify/sealed-log.ts';

interface Written {
  readonly dir: string;
  /** Ids in the order of the questions. */
  readonly ids: readonly string[];
}

type Ask = Parameters<Awaited<ReturnType<typeof openDecisionLog>>['ask']>[0];

async function logOf(
  asks: readonly Ask[],
  options: Parameters<typeof openDecisionLog>[1] = {},
): Promise<Written> {
  const dir = tempDir();
  await using log = await openDecisionLog(dir, options);
  const ids: string[] = [];
  for (const ask of asks) ids.push((await log.ask(ask)).id);
  return { dir, ids };
}

const explained = async (dir: string, id = '', whatIf?: WhatIf) =>
  await explainDecision(dir, id, {
    httpStatus: httpStatusOf,
    engine: engineName(),
    ...(whatIf && { whatIf }),
  });

const textOf = async (dir: string, id = '', whatIf?: WhatIf) =>
  explainedText(await explained(dir, id, whatIf), (reason) => `the words of ${reason}`);

const set = (...changes: string[]): WhatIf => ({ without: [], changes: changes.map(parseChange) });

describe('explaining a decision', () => {
  it('that was permitted: who, what, the policy with its text, the question, and that it comes out the same', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }]);
    const found = await explained(dir, ids[0]);
    expect(found).toMatchObject({
      record: { decision: 'ALLOW', user: 'demo/alice' },
      policies: [
        { id: 'reports.finance', effect: 'permit', text: expect.stringContaining('Group::"finance"') },
      ],
      explanation: { verdict: 'permit', determining: [{ id: 'reports.finance' }] },
      replay: { verdict: 'MATCH', by: 'cedar' },
    });
    const text = await textOf(dir, ids[0]);
    expect(text).toMatch(/^ALLOW {2}\(HTTP 200\) /);
    for (const words of [
      'permitted: the words of permitted',
      'demo/alice',
      'issuer demo, sub alice, alg ES256, exp 2026-01-01T00:05:00.000Z, state valid',
      'spiffe://prod.example.com/ns/payments/sa/payment-api (by principal, over mutual TLS)',
      'GET /reports/q1 on ledger-api.ledger',
      'Permitted by:\n  permit reports.finance  test.cedar:2:1',
      '    | @id("reports.finance")',
      'http: {"host"',
      'ZeroTrust::User::"demo/alice" in ZeroTrust::Group::"finance"',
      'MATCH: evaluated again by Cedar',
    ])
      expect(text).toContain(words);
  });

  it('that a policy forbade: what forbids, and which permit it overrides', async () => {
    const { dir, ids } = await logOf([{ user: 'alice', path: '/reports/hold/x' }]);
    expect(await explained(dir, ids[0])).toMatchObject({
      explanation: { determining: [{ id: 'reports.hold' }], overridden: [{ id: 'reports.finance' }] },
    });
    expect(await textOf(dir, ids[0])).toMatch(/message +on legal hold[^]*Denied by:[^]*Overridden:/);
  });

  it('that nothing permitted: the permits that came near, with what failed', async () => {
    const { dir, ids } = await logOf([{ user: 'carol' }]);
    const { explanation, policies } = await explained(dir, ids[0]);
    expect(policies).toEqual([]);
    expect(explanation?.nearMisses.map(({ id }) => id)).toEqual(['reports.public']);
    expect(explanation?.scopeMisses.map(({ id }) => id)).toEqual(['reports.finance']);
  });

  it('that was refused before policies were asked: the stage and what was wrong', async () => {
    const { dir, ids } = await logOf([{ path: '/a%2fb' }]);
    const found = await explained(dir, ids[0]);
    expect(found.question).toBeUndefined();
    expect(found.explanation).toBeUndefined();
    expect(found.replay).toEqual({ verdict: 'MATCH', by: 'stage_result' });
    const text = await textOf(dir, ids[0]);
    expect(text).toMatch(/detail +the path holds an encoded '\/'/);
    expect(text).toMatch(/stage +decode: before anybody was identified/);
    expect(text).toContain('Cedar was not asked.');
  });

  it('that came from the cache: by the decision whose answer it is', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }, { user: 'alice' }]);
    const found = await explained(dir, ids[1]);
    expect(found).toMatchObject({
      record: { decision_id: ids[1], cache: { hit: true, of: ids[0] } },
      origin: { decision_id: ids[0] },
      replay: { verdict: 'MATCH', by: 'reuse' },
      explanation: { determining: [{ id: 'reports.finance' }] },
    });
    expect(await textOf(dir, ids[1])).toContain(`the answer to ${ids[0]} was reused`);
  });

  it('that came from the cache, where that decision is gone: says so', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }, { user: 'alice' }]);
    changeDecisions(dir, (record) => (record['decision_id'] === ids[0] ? undefined : record));
    const found = await explained(dir, ids[1]);
    expect(found).toMatchObject({
      origin: 'missing',
      replay: { verdict: 'NOT_REPLAYABLE', why: 'origin_missing' },
    });
    expect(found.explanation).toBeUndefined();
    expect(await textOf(dir, ids[1])).toContain('that decision is not in the log any more');
  });

  it('of which an entity was erased: says so, and still shows the policies', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }]);
    changeBlobs(dir, 'entity', (digest) => `${digest} {"kind":"erased","erasure":"e-1"}`);
    const found = await explained(dir, ids[0]);
    expect(found).toMatchObject({
      question: 'a value that the decision saw was erased',
      policies: [{ id: 'reports.finance' }],
      replay: { verdict: 'NOT_REPLAYABLE', why: 'erased' },
    });
    const text = await textOf(dir, ids[0]);
    expect(text).toMatch(/Decided by permit reports\.finance {2}test\.cedar:2\n/);
    expect(text).toContain('What Cedar was asked cannot be shown: a value that the decision saw was erased.');
  });

  it.each([
    ['its policies', (dir: string) => changeBlobs(dir, 'policies', () => undefined), 'policies_missing'],
    ['an entity', (dir: string) => changeBlobs(dir, 'entity', () => undefined), 'blob_missing'],
    ['the pack', (dir: string) => removePacks(dir), 'policies_missing'],
  ])('of which %s is missing: says so', async (_what, spoil, why) => {
    const { dir, ids } = await logOf([{ user: 'alice' }]);
    spoil(dir);
    const found = await explained(dir, ids[0]);
    expect(found).toMatchObject({ replay: { verdict: 'NOT_REPLAYABLE', why } });
    expect(found.explanation).toBeUndefined();
    expect(await textOf(dir, ids[0])).toContain('cannot be shown');
  });

  it('tells who put its policies in force, and when: the last time before it', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    const digest = (await log.ask({ user: 'alice' })).snapshot?.digest;
    await log.writer.appendControl('policy_activated', { digest, by: 'first' });
    await log.writer.appendControl('policy_activated', { digest, by: 'second' });
    log.writer.rotate();
    await log.writer.appendControl('policy_activated', { digest: 'sha256:other', by: 'third' });
    const { id } = await log.ask({ user: 'bob' });
    await log.writer.appendControl('policy_activated', { digest, by: 'later' });
    expect((await explained(dir, id)).activation).toMatchObject({ by: 'second', index: 3 });
    expect(await textOf(dir, id)).toMatch(
      /in force since +2026-01-01T00:00:00\.000Z, by second \(record 3\)/,
    );
  });

  it('says whether it is proven under the newest checkpoint', async () => {
    const dir = tempDir();
    const key = identityFile();
    await using log = await openDecisionLog(dir);
    const { id } = await log.ask({ user: 'alice' });
    expect((await explained(dir, id)).proof.verdict).toBe('not_checkable');
    seal(dir, log.writer, key);
    expect(await textOf(dir, id)).toMatch(/proof +PROVEN: .*; by the folder's own key/);
    const later = await log.ask({ user: 'bob' });
    expect((await explained(dir, later.id)).proof.verdict).toBe('not_sealed');
    changeDecisions(dir, (record) => ({ ...record, latency_us: 7 }));
    expect(await textOf(dir, id)).toMatch(/proof +FAILED/);
  });

  it('tells that a record does not come out as it was recorded', async () => {
    const { dir, ids } = await logOf([{ user: 'carol' }]);
    changeDecisions(dir, (record) => ({ ...record, decision: 'ALLOW', reason: 'permitted' }));
    expect(await textOf(dir, ids[0])).toMatch(
      /replay +MISMATCH: decision was recorded as ALLOW, and comes out as DENY/,
    );
  });

  it('cannot steer the terminal', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }]);
    changeDecisions(dir, (record) => ({ ...record, user: 'a\u001B[2J\nDENY', request_id: '\u202E' }));
    const text = await textOf(dir, ids[0]);
    expect(text).toContain('a\uFFFD[2J\uFFFDDENY');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('finding a decision', () => {
  it('takes a unique beginning of the id, in either case, and reads no segment of another time', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    const early = await log.ask({ user: 'alice' });
    log.writer.rotate();
    log.clock.advance(3_600_000);
    const { id } = await log.ask({ user: 'bob' });
    expect((await explained(dir, id.slice(0, 8).toUpperCase())).record.decision_id).toBe(id);
    const [first = ''] = readdirSync(dir)
      .filter((name) => name.endsWith('.ndjson'))
      .sort();
    expect(readFileSync(join(dir, first), 'utf8')).toContain(early.id);
    rmSync(join(dir, first));
    expect((await explained(dir, id)).record.decision_id).toBe(id);
  });

  it.each([
    ['0190', 'is no decision id'],
    ['nonsense!', 'is no decision id'],
    [
      '01900000-0000-7000-8000-000000000000',
      'the log covers 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:00.000Z, and the id is of 2024-06-10',
    ],
  ])('%s is refused: %s', async (id, message) => {
    const { dir } = await logOf([{ user: 'alice' }]);
    await expect(explained(dir, id)).rejects.toThrow(message);
  });

  it('names the decisions that an ambiguous beginning may mean', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }, { user: 'bob' }]);
    await expect(explained(dir, ids[0]?.slice(0, 8))).rejects.toThrow(
      `is the beginning of several: ${ids[0]}`,
    );
  });
});

describe('a counterfactual', () => {
  it('without a policy is another decision, clearly marked as one', async () => {
    const { dir, ids } = await logOf([{ user: 'alice', path: '/reports/hold/x' }, { user: 'alice' }]);
    const whatIf: WhatIf = { without: ['reports.hold'], changes: [] };
    expect((await explained(dir, ids[0], whatIf)).counterfactual).toMatchObject({
      counterfactual: true,
      decision: 'ALLOW',
      policies: ['reports.finance'],
    });
    expect(await textOf(dir, ids[0], whatIf)).toContain(
      'COUNTERFACTUAL (nobody was ever told this): without the policy reports.hold: ALLOW in place of DENY',
    );
    const without = await explained(dir, ids[1], { without: ['reports.finance'], changes: [] });
    expect(without.record.decision).toBe('ALLOW');
    expect(without.counterfactual).toMatchObject({ decision: 'DENY', reason: 'no_permit' });
    expect(JSON.stringify(without.counterfactual?.explanation)).not.toContain('reports.finance');
    expect(await textOf(dir, ids[1], whatIf)).toContain(': still ALLOW');
  });

  it('with other values: in the context, of an entity that it refers to, of the principal', async () => {
    const policies = `
      @id("path") permit(principal, action, resource) when { context has http && context.http.path like "/open/*" };
      @id("source") permit(principal, action, resource)
      when { context has source && context.source has trust_domain && context.source.trust_domain == "other" };
      @id("issuer") permit(principal is ZeroTrust::User, action, resource)
      when { principal has issuer && principal.issuer == "other" };`;
    const { dir, ids } = await logOf([{ user: 'carol', path: '/x' }], { policies });
    const decided = async (...changes: string[]) =>
      (await explained(dir, ids[0], set(...changes))).counterfactual;
    expect(await decided('context.http.path=/open/x')).toMatchObject({
      decision: 'ALLOW',
      policies: ['path'],
    });
    expect(await decided('context.source.trust_domain=other')).toMatchObject({ policies: ['source'] });
    expect(await decided('principal.issuer="other"')).toMatchObject({ policies: ['issuer'] });
    expect(await decided('context.http.method=POST')).toMatchObject({
      decision: 'DENY',
      reason: 'no_permit',
    });
    expect(await decided('context.http.path=7')).toMatchObject({
      decision: 'DENY',
      reason: 'attribute_refused',
    });
    await expect(decided('context.http.path.deep=1')).rejects.toThrow('there is no \'deep\' in "/x"');
  });

  it.each(['http.path=1', 'context=1', 'context.x', 'context.__proto__.x=1', 'context..x=1'])(
    '--set %s is refused',
    (text) => {
      expect(() => parseChange(text)).toThrow(/--set/);
    },
  );

  it('without a policy that is not in the set is refused, with the one that may be meant', async () => {
    const { dir, ids } = await logOf([{ user: 'alice' }]);
    await expect(explained(dir, ids[0], { without: ['reports.finanse'], changes: [] })).rejects.toThrow(
      "did you mean 'reports.finance'?",
    );
  });

  it('of a question that is not there is refused', async () => {
    const { dir, ids } = await logOf([{ path: '/a%2fb' }]);
    await expect(explained(dir, ids[0], set('context.x=1'))).rejects.toThrow('cannot be asked otherwise');
  });
});

function removePacks(dir: string): void {
  for (const name of readdirSync(dir)) if (name.endsWith('.blobs')) rmSync(join(dir, name));
}
