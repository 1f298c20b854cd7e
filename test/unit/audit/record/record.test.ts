import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_LINE_BYTES, type RecordOptions, recordParts } from '../../../../src/audit/record/record.ts';
import { isDecision } from '../../../../src/audit/read/decision-record.ts';
import { questionOf } from '../../../../src/audit/read/question.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { FIELDS } from './record-fields.ts';
import { CANARY, accessRequest, allowedTrace, recordLine, refusedTrace } from '../trace-fixture.ts';

const OPTIONS: RecordOptions = {
  log: 'example.com/pdp/test',
  engine: 'cedar-wasm 4.13.0',
  acceptsTokens: true,
  cluster: 'c1',
  region: 'eu-1',
  httpStatus: (decision) => (decision.verdict === 'permit' ? 200 : 403),
};

const CONTRACT =
  'v kind log index decision_id timestamp decision enforced reason policies source_identity destination_identity mtls method path host ' +
  'user device token principal action resource context entities pip snapshot engine cache http_status pep trace_id span_id ' +
  'request_id cluster region latency_us';

/** Those of some names that a record has, in the order of the names. */
function present(names: string, line: Record<string, unknown>): string[] {
  return names.split(' ').filter((name) => name in line);
}

function record(trace: DecisionTrace, index = 0): Record<string, unknown> {
  return JSON.parse(recordLine(trace, OPTIONS, index));
}

/** The question that can be read out of a record and what it refers to. */
function asked(trace: DecisionTrace): unknown {
  const line = record(trace);
  if (!isDecision(line)) throw new Error('no decision');
  const blobs = recordParts(trace, OPTIONS).blobs.map(
    (blob) => [blob.digest, Buffer.from(blob.payload())] as const,
  );
  return questionOf(line, new Map(blobs));
}

const HIT = { hit: true, of: '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6f', ageMs: 12.4 } as const;

/** A check of which there is something to say in every field. */
function everything(): DecisionTrace {
  const workload = {
    id: 'spiffe://prod.example.com/ns/reports/sa/api',
    trustDomain: 'prod.example.com',
    path: '/ns/reports/sa/api',
  };
  const { identities } = allowedTrace();
  if (!identities) throw new Error('the fixture has no identities');
  const request = accessRequest('/API/../api/reports/quarterly');
  return allowedTrace({ request, identities: { ...identities, destination: workload } });
}

describe('recordLine', () => {
  it('is one line of JSON in a fixed order, and a field that has nothing to say is not there', () => {
    const line = recordLine(allowedTrace(), OPTIONS, 7);
    expect(line).not.toMatch(/[\n]|null/);
    for (const trace of [allowedTrace(), refusedTrace(), allowedTrace({ cache: HIT }), everything()])
      expect(Object.keys(record(trace))).toEqual(present(FIELDS, record(trace)));
  });

  it('has every field of the contract where there is something to say', () => {
    expect(present(CONTRACT, record(everything()))).toEqual(CONTRACT.split(' '));
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
      policies: ['reports-read'],
      stage: 'conclude',
      surface: 'ext_authz',
      source_identity: {
        spiffe_id: 'spiffe://prod.example.com/ns/frontend/sa/web',
        trust_domain: 'prod.example.com',
        namespace: 'frontend',
        service_account: 'web',
      },
      mtls: true,
      method: 'GET',
      path: '/api/reports/quarterly',
      host: 'reports.example.com',
      user: 'staff/alice',
      device: { id: 'laptop-17', evidence: 'token_claim' },
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
    const question = asked(trace);
    expect(question).toEqual(trace.cedar);
    expect(record(trace)['context']).toMatch(/^[\w-]{43}$/);
  });

  it('holds a short context in the line, so that it can be read without anything else', () => {
    const { cedar } = allowedTrace();
    if (!cedar) throw new Error('the fixture has no question');
    const trace = allowedTrace({ cedar: { ...cedar, context: { mfa: true } } });
    expect(record(trace)['context']).toEqual({ mfa: true });
    expect(asked(trace)).toEqual(trace.cedar);
  });

  it('gives a value the same digest each time, and what is called __proto__ no power', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('a', '__proto__', 'toJSON', 'then'), fc.string()),
        (context) => {
          const { cedar } = allowedTrace();
          if (!cedar) throw new Error('the fixture has no question');
          const changed = { ...cedar, context: { ...context, pad: 'x'.repeat(300) } };
          const trace = allowedTrace({ cedar: changed });
          const again = allowedTrace({ cedar: structuredClone(changed) });
          expect(record(trace)['context']).toBe(record(again)['context']);
          expect(JSON.stringify(asked(trace))).toBe(JSON.stringify(changed));
        },
      ),
    );
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
    const line = record(allowedTrace({ cache: HIT }));
    expect(line['cache']).toEqual({ hit: true, of: HIT.of, age_ms: 12 });
    const elsewhere = ['principal', 'action', 'resource', 'context', 'entities', 'pip', 'engine'];
    for (const name of elsewhere) expect(line).not.toHaveProperty(name);
  });

  it('has the question of what was answered like another one, and says which', () => {
    const trace = allowedTrace({ cache: { hit: false, like: HIT.of } });
    const line = record(trace);
    expect(line['cache']).toEqual({ hit: false, like: HIT.of });
    expect(line).toEqual({ ...record(allowedTrace({ cache: { hit: false } })), cache: line['cache'] });
    for (const name of ['principal', 'action', 'resource', 'context', 'entities', 'engine'])
      expect(line).toHaveProperty(name);
  });

  it('takes less than a kilobyte for a cached answer to a call within the mesh', () => {
    const { identities } = everything();
    if (!identities) throw new Error('the fixture has no identities');
    const { user: _user, device: _device, ...workloads } = identities;
    const trace = everything();
    const call = {
      ...trace,
      request: { ...accessRequest('/internal/entries') },
      canonical: { method: 'POST', path: '/internal/entries', host: 'ledger.example.com' },
      identities: { ...workloads, tokenState: 'absent' as const },
      cache: HIT,
    };
    const { cluster: _cluster, region: _region, ...lean } = OPTIONS;
    const { trace: _span, requestId: _id, ...untraced } = { ...call, pep: { address: '127.0.0.1:50000' } };
    expect(Buffer.byteLength(recordLine(untraced, lean, 1_000_000))).toBeLessThan(880);
    // Tracing, the request's id, who asked and where: some 260 bytes that are different each time.
    expect(Buffer.byteLength(recordLine(call, OPTIONS, 1_000_000))).toBeLessThan(1100);
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
      path_raw: '/a//b',
      http_status: 403,
    });
    for (const name of ['path', 'principal', 'context', 'entities', 'pip', 'engine', 'cache'])
      expect(record(refusedTrace())).not.toHaveProperty(name);
  });

  it('tells the path as it came only where it was another one, parameters apart', () => {
    expect(record(allowedTrace())).not.toHaveProperty('path_raw');
    expect(record(everything())['path_raw']).toBe('/API/../api/reports/quarterly');
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

  it('keeps a question that does not fit the line beside it, whole', () => {
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
    expect(JSON.parse(line)).toMatchObject({ user: 'staff/alice' });
    expect(asked(allowedTrace({ cedar }))).toEqual(cedar);
  });

  it.each(['principal', 'action', 'resource'] as const)(
    'cuts no %s away from replay, however long',
    (name) => {
      const { cedar } = allowedTrace();
      if (!cedar) throw new Error('the fixture has no question');
      for (const id of ['x'.repeat(2100), '"'.repeat(1100), '\u0000'.repeat(9000), '\ud800'.repeat(1000)]) {
        const trace = allowedTrace({ cedar: { ...cedar, [name]: { type: 'T', id } } });
        expect(String(record(trace)[name]).length).toBeLessThanOrEqual(2048);
        expect(asked(trace)).toEqual(trace.cedar);
      }
    },
  );

  it('moves the digests of very many entities beside the line', () => {
    const { cedar } = allowedTrace();
    if (!cedar) throw new Error('the fixture has no question');
    const entities = Array.from({ length: 3000 }, (_, i) => ({
      uid: { type: 'T', id: String(i) },
      attrs: {},
      parents: [],
    }));
    const trace = allowedTrace({ cedar: { ...cedar, entities } });
    expect(record(trace)).not.toHaveProperty('entities');
    expect(asked(trace)).toEqual(trace.cedar);
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
    expect(asked(trace)).toEqual({ because: 'truncated' });
  });

  it('writes no floats and survives numbers that are none', () => {
    const line = recordLine(
      allowedTrace({ latencyUs: Number.NaN, receivedAt: Number.POSITIVE_INFINITY }),
      OPTIONS,
    );
    expect(JSON.parse(line)).toMatchObject({ timestamp: '1970-01-01T00:00:00.000Z' });
    expect(JSON.parse(line)).not.toHaveProperty('latency_us');
  });
});
