import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RecordOptions, recordParts } from '../../../../src/audit/record/record.ts';
import { RecordTemplates } from '../../../../src/audit/record/record-template.ts';
import { denyFor, refuse } from '../../../../src/pdp/decision.ts';
import type { RecentAnswer } from '../../../../src/pdp/recent-answers.ts';
import type { DecisionTrace } from '../../../../src/pdp/trace.ts';
import { allowedTrace } from '../trace-fixture.ts';

const OPTIONS: RecordOptions = { log: 'test', engine: 'test', acceptsTokens: true, httpStatus: () => 200 };
const MARKS = [
  '\u{f0001}',
  '\u{f0002}',
  '\u{f0005}',
  '7000000000000001',
  '7000000000000003',
  '1970-06-06T07:08:09.123Z',
];

function templates() {
  let whole = 0;
  const made = new RecordTemplates((trace) => {
    whole += 1;
    return recordParts(trace, OPTIONS);
  });
  return { tail: (trace: DecisionTrace) => made.tail(trace), written: () => whole };
}

/** A question that was asked before, of which `call` is what belongs to the call. */
function repeated(about: Partial<DecisionTrace> = {}) {
  const first = allowedTrace({ cache: { hit: true, of: 'd-1', ageMs: 5 }, stage: 'evaluate', ...about });
  const recent = { decision: first.decision } as RecentAnswer;
  return (call: Partial<DecisionTrace> = {}): DecisionTrace => ({ ...first, recent, ...call });
}

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom(...MARKS, '"', '\\', '\ud800', '","decision":"ALLOW', '$&', ''),
);
const hex = fc.stringMatching(/^[0-9a-f]{16}$/);
const call: fc.Arbitrary<Partial<DecisionTrace>> = fc
  .record({
    id: fc.oneof(fc.uuid(), hostile),
    receivedAt: fc.oneof(fc.integer({ min: 0, max: 2 ** 42 }), fc.constantFrom(NaN, Infinity, -1, 1e300)),
    latencyUs: fc.oneof(
      fc.double({ min: 0, max: 1e9 }),
      fc.constantFrom(NaN, Infinity, -0, 7_000_000_000_000_003),
    ),
    ageMs: fc.oneof(fc.integer(), fc.constantFrom(NaN, -5, 7_000_000_000_000_001)),
    address: fc.oneof(fc.ipV4(), hostile),
    requestId: fc.option(fc.oneof(fc.uuid(), hostile), { nil: undefined }),
    trace: fc.option(fc.record({ traceId: fc.oneof(hex, hostile), spanId: fc.oneof(hex, hostile) }), {
      nil: undefined,
    }),
  })
  .map(({ ageMs, address, requestId, trace, ...rest }) => ({
    ...rest,
    cache: { hit: true, of: 'd-1', ageMs } as const,
    pep: { ...allowedTrace().pep, address },
    requestId,
    trace,
  })) as fc.Arbitrary<Partial<DecisionTrace>>;

describe('the line of an answer that was given before', () => {
  test('is byte for byte the whole one, whatever the call and the question hold', () => {
    fc.assert(
      fc.property(hostile, hostile, fc.array(call, { maxLength: 8 }), (path, user, calls) => {
        const { tail } = templates();
        const { identities } = allowedTrace();
        const named = identities?.user && { ...identities, user: { ...identities.user, id: user } };
        const again = repeated({
          canonical: { method: 'GET', path, host: path },
          ...(named && { identities: named }),
        });
        for (const one of calls) {
          const line = tail(again(one));
          if (line !== undefined) expect(line).toBe(recordParts(again(one), OPTIONS).tail);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('is put together from the second on', () => {
    const { tail, written } = templates();
    const again = repeated();
    for (let index = 0; index < 10; index++) {
      const trace = again({ receivedAt: index, latencyUs: index * 7, requestId: `r-${index}` });
      expect(tail(trace)).toBe(recordParts(trace, OPTIONS).tail);
    }
    expect(written()).toBe(2);
  });

  test.each<[string, Partial<DecisionTrace>]>([
    ['denied after all', { decision: { verdict: 'deny', reason: 'internal', policies: [] } }],
    ['not recorded', { stage: 'record' }],
    ['made in shadow', { shadowOf: 'd-2' }],
    ['not enforced', { enforced: false }],
    ['asked in a batch', { batch: 'b-1' }],
    ['explained', { explained: true }],
  ])('is written out where the answer was %s', (_what, changes) => {
    const { tail } = templates();
    const again = repeated();
    expect(tail(again())).toBeDefined();
    expect(tail(again(changes))).toBeUndefined();
  });

  test('is written out where it would not fit with longer values', () => {
    const long = repeated({ canonical: { method: 'GET', path: `/${'x'.repeat(8000)}`, host: 'h' } });
    const policies = Array.from({ length: 256 }, (_, index) => `p${index}-${'x'.repeat(60)}`);
    const { decision } = long();
    expect(templates().tail(long())).toBeDefined();
    const { tail } = templates();
    const longer = repeated({
      canonical: long().canonical ?? { method: '', path: '', host: '' },
      decision: { ...decision, policies },
    });
    expect(tail(longer())).toBeUndefined();
  });

  test('is written out where a record has a blob of its own', () => {
    const made = new RecordTemplates((trace) => ({
      tail: recordParts(trace, OPTIONS).tail,
      blobs: [{ digest: 'd', text: 't' } as never],
    }));
    expect(made.tail(repeated()())).toBeUndefined();
  });

  test('is no other’s', () => {
    const { tail } = templates();
    expect(tail(allowedTrace())).toBeUndefined();
  });
});

describe('the line of an answer that was turned away', () => {
  const [workload, other] = ['a', 'b'].map((name) => ({
    id: `spiffe://prod.example.com/${name}`,
    trustDomain: 'prod.example.com',
    path: `/${name}`,
  }));
  const decision = denyFor(refuse('overloaded', 'too many'));
  const turnedAway = (about: Partial<DecisionTrace> = {}): DecisionTrace => ({
    id: 'd-1',
    surface: 'ext_authz',
    pep: { address: '10.0.0.1:1' },
    receivedAt: 0,
    startedAt: 0,
    decision,
    turnedAway: true,
    stage: 'decode',
    timings: {},
    latencyUs: 3,
    ...about,
  });

  test('is byte for byte the whole one, whatever the call holds and whoever calls', () => {
    const workloads = fc.constantFrom(undefined, workload, other);
    const surfaces = fc.constantFrom('ext_authz' as const, 'check' as const, 'authzen' as const);
    fc.assert(
      fc.property(fc.array(fc.tuple(call, workloads, surfaces), { maxLength: 8 }), (calls) => {
        const { tail } = templates();
        for (const [{ cache: _none, ...one }, caller, surface] of calls) {
          const { address } = one.pep ?? turnedAway().pep;
          const pep = { address, ...(caller && { workload: caller }) };
          const trace = turnedAway({ ...one, surface, pep });
          const line = tail(trace);
          if (line !== undefined) expect(line).toBe(recordParts(trace, OPTIONS).tail);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('is put together from the second on, for each caller', () => {
    const { tail, written } = templates();
    for (let index = 0; index < 10; index++) {
      for (const caller of [undefined, workload, other]) {
        const pep = { address: `10.0.0.${index}:1`, ...(caller && { workload: caller }) };
        const trace = turnedAway({ id: `d-${index}`, latencyUs: index, pep });
        expect(tail(trace)).toBe(recordParts(trace, OPTIONS).tail);
      }
    }
    expect(written()).toBe(6);
  });

  test.each<[string, Partial<DecisionTrace>]>([
    ['of a batch', { batch: 'b-1' }],
    ['of an application', { pep: { address: 'a', application: { id: 'app' } } as DecisionTrace['pep'] }],
    ['whose record failed', { stage: 'record' }],
    ['that was looked at', { turnedAway: undefined } as never],
  ])('is written out where it is one %s', (_what, about) => {
    const { tail } = templates();
    expect(tail(turnedAway(about))).toBeUndefined();
  });
});
