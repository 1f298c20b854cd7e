import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_LINE_BYTES, type RecordOptions } from '../../../../src/audit/record/record.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { CANARY, accessRequest, allowedTrace, recordLine, refusedTrace } from '../trace-fixture.ts';

const OPTIONS: RecordOptions = {
  log: 'example.com/pdp/test',
  engine: 'cedar-wasm 4.13.0',
  cluster: 'c1',
  region: 'eu-1',
  httpStatus: (decision) => (decision.verdict === 'permit' ? 200 : 403),
};

const FIELDS =
  'v kind log index decision_id timestamp decision enforced reason message detail policies stage surface source_identity ' +
  'destination_identity mtls method path path_raw host user device token principal action resource binding context entities pip ' +
  'snapshot engine cache http_status pep trace_id span_id request_id cluster region latency_us';

function record(trace: DecisionTrace, index = 0): Record<string, unknown> {
  return JSON.parse(recordLine(trace, OPTIONS, index));
}

describe('recordLine', () => {
  it('is one line of JSON with every field, in a fixed order', () => {
    const line = recordLine(allowedTrace(), OPTIONS, 7);
    expect(line).not.toContain('\n');
    expect(Object.keys(JSON.parse(line)).join(' ')).toBe(FIELDS);
    expect(Object.keys(record(refusedTrace())).join(' ')).toBe(FIELDS);
  });

  it('says who asked for what, and how it came out', () => {
    expect(record(allowedTrace(), 7)).toMatchObject({
      v: 1,
      kind: 'decision',
      log: 'example.com/pdp/test',
      index: 7,
      decision_id: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a',
      timestamp: '2026-01-02T03:04:05.678Z',
      decision: 'ALLOW',
      enforced: true,
      reason: 'permitted',
      detail: null,
      policies: ['reports-read'],
      stage: 'conclude',
      surface: 'ext_authz',
      source_identity: {
        spiffe_id: 'spiffe://prod.example.com/ns/frontend/sa/web',
        trust_domain: 'prod.example.com',
        namespace: 'frontend',
        service_account: 'web',
      },
      destination_identity: null,
      mtls: true,
      method: 'GET',
      path: '/api/reports/quarterly',
      path_raw: '/api/reports/quarterly',
      host: 'reports.example.com',
      user: 'staff/alice',
      device: { id: 'laptop-17', evidence: 'token_claim', observed_at: null },
      token: { state: 'valid', issuer: 'staff', sub: 'alice', kid: 'key-1', alg: 'ES256', jti: 'jti-1' },
      principal: 'ZeroTrust::User::"staff/alice"',
      action: 'ZeroTrust::Action::"GET"',
      resource: 'ZeroTrust::Endpoint::"reports.example.com/api/reports/quarterly"',
      snapshot: expect.stringMatching(/^sha256:/),
      cache: { hit: false },
      http_status: 200,
      pep: { address: '127.0.0.1:50000', spiffe_id: 'spiffe://prod.example.com/ns/istio-system/sa/gateway' },
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      span_id: 'b7ad6b7169203331',
      cluster: 'c1',
      region: 'eu-1',
      latency_us: 413,
    });
  });

  it('holds the question exactly as the engine got it, so that it can be asked again', () => {
    const trace = allowedTrace();
    expect(record(trace)).toMatchObject({ context: trace.cedar?.context, entities: trace.cedar?.entities });
  });

  it('says where each fact came from, how old it was, and which were left out', () => {
    const omissions = [
      {
        source: 'risk',
        subject: 'device',
        subjectId: 'd',
        gives: ['risk'],
        status: 'omitted',
        leftOut: { risk: 'unavailable' },
        detail: CANARY,
      },
    ] as const;
    const expected = [
      { source: 'directory', subject: 'user', status: 'found', observed_at: 1_767_323_043_678, age_ms: 2000 },
      { source: 'posture', subject: 'device', status: 'found', observed_at: 1_767_323_040_678, age_ms: 5000 },
    ];
    const left = {
      source: 'risk',
      subject: 'device',
      status: 'omitted',
      left_out: { risk: 'unavailable' },
    };
    expect(record(allowedTrace({ omissions }))['pip']).toEqual([...expected, left]);
    expect(record(allowedTrace({ facts: [], omissions }))['pip']).toEqual([left]);
    expect(record(allowedTrace())['pip']).toEqual(expected);
  });

  it('says of facts how their age is known, and what of them was not used', () => {
    const [fact] = allowedTrace().facts ?? [];
    if (!fact) throw new Error('the fixture has no fact');
    const facts = [
      { ...fact, assumed: true, stale: true, failure: CANARY, leftOut: { risk: 'unavailable' } },
      { ...fact, event: true, leftOut: { 'os.patched': 'too_old', level: 'wrong_type' } },
    ] as const;
    const line = recordLine(allowedTrace({ facts }), OPTIONS);
    expect(line).not.toContain(CANARY);
    expect(record(allowedTrace({ facts }))['pip']).toMatchObject([
      { source: 'directory', status: 'found', assumed: true, stale: true, left_out: { risk: 'unavailable' } },
      { event: true, left_out: { 'os.patched': 'too_old', level: 'wrong_type' } },
    ]);
    expect(record(allowedTrace({ postureLeftOut: { risk: 'too_old' } }))['device']).toMatchObject({
      left_out: { risk: 'too_old' },
    });
  });

  it('points a cached answer to the decision that it reuses', () => {
    const cache = { hit: true, of: 'd-1', ageMs: 12.4 } as const;
    expect(record(allowedTrace({ cache }))['cache']).toEqual({ hit: true, of: 'd-1', age_ms: 12 });
  });

  it('lists policies that could not be evaluated', () => {
    const evaluation = { verdict: 'deny', policies: [], errors: ['p2'] } as const;
    expect(record(allowedTrace({ evaluation }))['policy_errors']).toEqual(['p2']);
  });

  it('says for a refused request how far it came and why', () => {
    expect(record(refusedTrace())).toMatchObject({
      decision: 'DENY',
      reason: 'path_ambiguous',
      detail: "the path holds an empty segment '//'",
      stage: 'decode',
      path: null,
      path_raw: '/a//b',
      principal: null,
      pip: null,
      cache: null,
      http_status: 403,
    });
  });

  it('never holds a header, cookie, query, fragment, matrix parameter, certificate, stream id or metadata', () => {
    const targets = [
      `/a?token=${CANARY}`,
      `/a#${CANARY}`,
      `/a;jsessionid=${CANARY}`,
      `/a%3ftoken=${CANARY}`,
      `/a%253Ftoken=${CANARY}`,
      `/a%23${CANARY}`,
      `/a%3B${CANARY}`,
      `http://user:${CANARY}@host/a?${CANARY}`,
    ];
    for (const path of targets) {
      const request = accessRequest(path);
      expect(recordLine(refusedTrace({ request }), OPTIONS)).not.toContain(CANARY);
      expect(recordLine(allowedTrace({ request }), OPTIONS)).not.toContain(CANARY);
    }
  });

  it('stays one parsable line within the limit whatever clients send', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40_000 });
    fc.assert(
      fc.property(text, text, text, (path, host, id) => {
        const base = accessRequest(path);
        const request = { ...base, http: { ...base.http, host, method: id } };
        const uid = { type: 'ZeroTrust::User', id };
        const line = recordLine(
          allowedTrace({
            request,
            requestId: id,
            canonical: { method: 'GET', path, host },
            cedar: { principal: uid, action: uid, resource: uid, context: { id }, entities: [] },
          }),
          OPTIONS,
        );
        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_LINE_BYTES);
        expect(line).not.toMatch(/[\n\r]/);
        expect(JSON.parse(line)).toMatchObject({ kind: 'decision' });
      }),
    );
  });

  it('writes entity ids as Cedar does, whatever is in them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (id) => {
        const uid = { type: 'ZeroTrust::User', id };
        const trace = allowedTrace({
          cedar: { principal: uid, action: uid, resource: uid, context: {}, entities: [] },
        });
        expect(record(trace)['principal']).toBe(`ZeroTrust::User::${JSON.stringify(id)}`);
      }),
    );
  });

  it('drops context and entities that do not fit, and says so', () => {
    const uid = { type: 'T', id: 'x' };
    const cedar = {
      principal: uid,
      action: uid,
      resource: uid,
      context: { big: 'é'.repeat(40_000) },
      entities: [],
    };
    const line = recordLine(allowedTrace({ cedar }), OPTIONS);
    expect(Buffer.byteLength(line)).toBeLessThan(4000);
    expect(JSON.parse(line)).toMatchObject({
      context: null,
      entities: null,
      truncated: true,
      user: 'staff/alice',
    });
  });

  it('still fits when every outside string is as long as it can be and needs escapes', () => {
    const nasty = '\u0000'.repeat(9000);
    const uid = { type: 'T', id: nasty };
    const cedar = { principal: uid, action: uid, resource: uid, context: {}, entities: [] };
    const policies = Array.from({ length: 5000 }, (_, i) => `policy-${i}-${'p'.repeat(100)}`);
    const trace = allowedTrace({
      cedar,
      requestId: nasty,
      canonical: { method: 'GET', path: nasty, host: nasty },
      decision: { verdict: 'deny', reason: 'policy_forbids', detail: nasty, policies },
    });
    const line = recordLine(trace, OPTIONS);
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_LINE_BYTES);
    expect(JSON.parse(line)).toMatchObject({ truncated: true, decision: 'DENY' });
  });

  it('writes no floats and survives numbers that are none', () => {
    const line = recordLine(
      allowedTrace({ latencyUs: Number.NaN, receivedAt: Number.POSITIVE_INFINITY }),
      OPTIONS,
    );
    expect(JSON.parse(line)).toMatchObject({ latency_us: null, timestamp: '1970-01-01T00:00:00.000Z' });
  });
});
