import { describe, expect, test } from 'vitest';
import type { AttributeRecord } from '../../../../src/pdp/attribute.ts';
import { HeaderFields } from '../../../../src/pdp/header-fields.ts';
import { accessRequest } from '../../../support/requests.ts';
import { setUp, sourceOf } from '../decision-point.ts';

const POLICIES = `@id("any") permit(principal, action, resource);
@id("tor") forbid(principal, action, resource) when {
  context has ip_facts && context.ip_facts has threats && context.ip_facts.threats.contains("tor") };`;

const from = (ip: string | undefined) => {
  const request = accessRequest();
  return { ...request, source: { ...request.source, ...(ip !== undefined && { ip }) } };
};

function asking(context: AttributeRecord) {
  return {
    subject: { uid: { type: 'ZeroTrust::User', id: 'idp/ann' }, properties: {}, subjects: [] },
    credentials: new HeaderFields([], false),
    action: { type: 'ZeroTrust::Action', id: 'GET' },
    resource: {
      uid: { type: 'ZeroTrust::Endpoint', id: 'api /x' },
      properties: { host: 'api' },
      subjects: [],
    },
    context,
    asserted: [],
  };
}

describe('information points about addresses', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:DB8:0::1', '2001:db8::1'],
  ])('are asked about the one spelling of the source address: %s', async (ip, spelt) => {
    const source = sourceOf('ip', { threats: ['tor'], country: 'XX' });
    const trace = await setUp({ policies: POLICIES, sources: [source] }).decide(from(ip));
    expect(source.asked).toEqual([spelt]);
    expect(trace.decision).toMatchObject({ verdict: 'deny', policies: ['tor'] });
    // Only what policies read of it.
    expect(trace.cedar?.context['ip_facts']).toEqual({ threats: ['tor'] });
    expect(trace.facts).toMatchObject([{ subject: 'ip', subjectId: spelt }]);
  });

  test.each([
    [
      'policies do not read what is known of it',
      '@id("any") permit(principal, action, resource);',
      from('203.0.113.7'),
    ],
    [
      'policies read none of what it gives',
      '@id("c") forbid(principal, action, resource) when { context has ip_facts && context.ip_facts has country };',
      from('203.0.113.7'),
    ],
  ])('are not asked where %s', async (_why, policies, request) => {
    const source = sourceOf('ip', { threats: ['tor'] });
    const trace = await setUp({ policies, sources: [source] }).decide(request);
    expect(source.asked).toEqual([]);
    expect(trace.cedar?.context).not.toHaveProperty('ip_facts');
  });

  test.each([
    ['there is no address', undefined],
    ['the address is none', 'nowhere'],
  ])('have failed where %s: who comes from nowhere is on no list', async (_why, ip) => {
    const source = sourceOf('ip', { threats: ['tor'] });
    const denied = await setUp({ policies: POLICIES, sources: [source] }).decide(from(ip));
    expect(denied.decision).toMatchObject({
      reason: 'attribute_unavailable',
      detail: expect.stringContaining(
        "the request does not say from which address it comes; 'threats' must be known",
      ) as string,
    });
    const omitting = { ...source, onFailure: 'omit' } as const;
    const trace = await setUp({ policies: POLICIES, sources: [omitting] }).decide(from(ip));
    expect(trace.decision).toMatchObject({ verdict: 'permit' });
    expect(trace.omissions).toMatchObject([{ leftOut: { threats: 'unavailable' } }]);
    expect(source.asked).toEqual([]);
  });

  test('are not asked about a question that is about no address', async () => {
    const source = sourceOf('ip', { threats: ['tor'] });
    const { decide } = setUp({ policies: POLICIES, sources: [source] });
    expect((await decide(asking({}))).decision).toMatchObject({ verdict: 'permit' });
    expect(source.asked).toEqual([]);
  });

  test('leave the context without a word on addresses that they do not know', async () => {
    const source = sourceOf(
      'ip',
      { threats: [] },
      {
        lookup: () => ({ status: 'absent', attributes: {}, groups: [], observedAt: 0, freshUntil: 9e15 }),
      },
    );
    const trace = await setUp({ policies: POLICIES, sources: [source] }).decide(from('203.0.113.7'));
    expect(trace.decision.verdict).toBe('permit');
    expect(trace.cedar?.context).not.toHaveProperty('ip_facts');
  });

  test('deny where they fail, and where they answer in another type', async () => {
    const lookup = () => Promise.reject(new Error('down'));
    const sources = [sourceOf('ip', { threats: ['x'] }, { lookup })];
    expect((await setUp({ policies: POLICIES, sources }).decide(from('203.0.113.7'))).decision).toMatchObject(
      {
        reason: 'attribute_unavailable',
        detail: "ip-source: down; 'threats' must be known",
      },
    );
    const wrong = [sourceOf('ip', { threats: [7] })];
    expect(
      (await setUp({ policies: POLICIES, sources: wrong }).decide(from('203.0.113.7'))).decision,
    ).toMatchObject({
      reason: 'attribute_refused',
      detail: "ip-source: 'threats[]' is a long, the schema says String",
    });
  });

  test('are asked about the address that an application asserts', async () => {
    const source = sourceOf('ip', { threats: ['tor'] });
    const point = setUp({ policies: POLICIES, sources: [source] });
    expect((await point.decide(asking({ ip: '::ffff:203.0.113.7' }))).decision).toMatchObject({
      policies: ['tor'],
    });
    expect(source.asked).toEqual(['203.0.113.7']);
    expect((await point.decide(asking({}))).decision.verdict).toBe('permit');
    expect((await point.decide(asking({ ip: 'nowhere' }))).decision.reason).toBe('request_malformed');
    expect(source.asked).toEqual(['203.0.113.7']);
  });

  test('have the only word: nobody can assert what is known of an address', async () => {
    const { decision } = await setUp({ policies: POLICIES }).decide(asking({ ip_facts: { threats: [] } }));
    expect(decision).toMatchObject({
      reason: 'request_malformed',
      detail: 'context.ip_facts cannot be asserted',
    });
  });
});
