import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { recordLine } from '../../audit/trace-fixture.ts';
import { refuse } from '../../../../src/pdp/decision.ts';
import { PAYMENT_API, LEDGER_API } from '../../../support/requests.ts';
import { sourceOf, userIdentity } from '../../pdp/decision-point.ts';
import { OWNERS, question, serve, struct } from './fixture.ts';

interface Policy {
  readonly id: string;
  readonly effect: string;
  readonly text: string;
  readonly file: string;
  readonly line: number;
  readonly conditions: readonly { outcome: string; words: string; values: readonly { source: string }[] }[];
}
interface Explained {
  readonly response: {
    readonly decision: string;
    readonly reason: string;
    readonly policies: readonly string[];
  };
  readonly explanation: { readonly determining: readonly Policy[]; readonly nearMisses: readonly Policy[] };
  readonly text: string;
  readonly detail: string;
}

async function explainer(...args: Parameters<typeof serve>) {
  const served = await serve(...args);
  return {
    ...served,
    explain: async (message: object) => {
      const outcome = await served.call('Explain', message);
      return { ...outcome, told: outcome.answer as unknown as Explained };
    },
  };
}

const HTTP = {
  method: 'POST',
  path: '/internal/entries?key=secret',
  host: 'ledger-api.ledger',
  scheme: 'https',
  source: PAYMENT_API,
  destination: LEDGER_API,
};

const record = (trace: Parameters<typeof recordLine>[0]) =>
  JSON.parse(
    recordLine(trace, { log: 'test', engine: 'test', acceptsTokens: true, httpStatus: () => 200 }),
  ) as Record<string, unknown>;

describe('an explanation', () => {
  test('of a permit names the policy that decided, with text and position', async () => {
    const { explain } = await explainer();
    const { told } = await explain({ check: question() });
    expect(told.response).toMatchObject({ decision: 'DECISION_ALLOW', policies: ['owner'] });
    const [policy] = told.explanation.determining;
    expect(policy).toMatchObject({
      id: 'owner',
      effect: 'POLICY_EFFECT_PERMIT',
      file: 'test.cedar',
      line: 2,
    });
    expect(policy?.text).toContain('resource.owner == principal.subject');
  });

  test('of a deny names what came near, and what failed, in words and with its source', async () => {
    const { explain } = await explainer({ sources: [sourceOf('order', { owner: 'bob' })] });
    const { told } = await explain({ check: question() });
    expect(told.response).toMatchObject({ decision: 'DECISION_DENY', reason: 'no_permit' });
    const failed = told.explanation.nearMisses[0]?.conditions.find(
      ({ outcome }) => outcome === 'CONDITION_OUTCOME_FAILS',
    );
    expect(failed?.words).toMatch(/resource\.owner is "bob"/);
    expect(failed?.values.map(({ source }) => source)).toContain('order-source');
    expect(told.text).toMatch(/Permits that came near[^]*owner/);
  });

  test('of an HTTP request is what the PEP would be answered', async () => {
    const { explain } = await explainer({
      policies: `@id("ledger") permit(principal == ZeroTrust::Workload::"${PAYMENT_API}", action == ZeroTrust::Action::"POST", resource);`,
    });
    expect((await explain({ http: HTTP })).told.response).toMatchObject({ policies: ['ledger'] });
    const { told } = await explain({ http: { ...HTTP, method: 'GET' } });
    expect(told.response).toMatchObject({ reason: 'no_permit' });
  });

  test('of what is refused before the policies says why, without policies', async () => {
    const { explain } = await explainer({ user: refuse('token_expired', 'the token expired at noon') });
    const { code, told } = await explain({
      http: { ...HTTP, headers: [{ name: 'Authorization', value: 'Bearer x' }] },
    });
    expect(code).toBe(status.OK);
    expect(told).toMatchObject({
      response: { reason: 'token_expired' },
      detail: 'the token expired at noon',
    });
    expect(told.explanation).toBeUndefined();
  });

  test('of a path that can be read in two ways says so', async () => {
    const { explain } = await explainer();
    const { told } = await explain({ http: { ...HTTP, path: '/a/../b' } });
    expect(told.response).toMatchObject({ reason: 'path_ambiguous' });
  });

  test('of a question with a token is about the user it proves', async () => {
    const { explain, records } = await explainer({ user: userIdentity('alice') });
    await explain({ check: question({ subject: { token: 'a.b.c' } }) });
    expect(records[0]?.cedar?.principal.id).toBe('demo/alice');
  });

  test('is never answered from the cache, nor put into it', async () => {
    const { explain, check, records } = await explainer();
    await check();
    await explain({ check: question() });
    await explain({ check: question({ properties: { owner: 'bob' } }) });
    await check({ properties: { owner: 'bob' } });
    expect(records.map(({ cache }) => cache?.hit)).toEqual([false, false, false, false]);
  });

  test('is recorded as such, as not enforced, and with what was only asserted', async () => {
    const { explain, records } = await explainer();
    await explain({ check: question() });
    await explain({ http: HTTP });
    const [entity, http] = records.map(record);
    expect(entity).toMatchObject({
      explained: true,
      enforced: false,
      surface: 'check',
      asserted: ['subject', 'resource.owner'],
    });
    expect(http).toMatchObject({
      explained: true,
      enforced: false,
      asserted: ['request'],
      path: '/internal/entries',
    });
    expect(JSON.stringify(http)).not.toContain('secret');
  });

  test('of the policies in force now, after a reload too', async () => {
    const { explain, activate } = await explainer();
    await explain({ check: question() });
    activate('@id("no") forbid(principal, action, resource);');
    const { told } = await explain({ check: question() });
    expect(told.explanation.determining.map(({ id }) => id)).toEqual(['no']);
  });

  test('needs no grant, but the allow list of explanations', async () => {
    const open = await explainer({}, { access: { grants: [] } });
    expect((await open.explain({ check: question() })).code).toBe(status.OK);
    const closed = await explainer({}, { access: { explains: () => false } });
    for (const message of [{ check: question() }, { http: HTTP }]) {
      expect(await closed.explain(message)).toMatchObject({ code: status.PERMISSION_DENIED, answer: {} });
    }
    expect(closed.records.map(({ decision }) => decision.reason)).toEqual([
      'caller_not_allowed',
      'caller_not_allowed',
    ]);
  });

  test('of nothing is INVALID_ARGUMENT', async () => {
    const { explain, records } = await explainer();
    expect(await explain({})).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(records).toHaveLength(1);
  });
});

test('Check never explains', async () => {
  const { check } = await serve({ policies: OWNERS });
  const { answer } = await check({
    resource: { type: 'Order', id: '1', properties: struct({ owner: 'bob' }) },
  });
  expect(Object.keys(answer).sort()).toEqual(
    ['cacheableUntil', 'decision', 'decisionId', 'message', 'policies', 'reason', 'snapshot'].sort(),
  );
});
