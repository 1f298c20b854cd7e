import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DENY_REASONS, denyFor, isRefusal, refuse } from '../../../src/pdp/decision.ts';

describe('a refusal', () => {
  test('is told from all that may come from outside, a record like one included', () => {
    fc.assert(
      fc.property(fc.constantFrom(...DENY_REASONS), fc.string(), (reason, detail) => {
        const refusal = refuse(reason, detail, { evidence: 'sha256:x', cause: 'expired' });
        expect(isRefusal(refusal)).toBe(true);
        const copies = [JSON.parse(JSON.stringify(refusal)), structuredClone(refusal)];
        for (const copy of copies as object[]) {
          expect(copy).toEqual({ refusal: reason, detail, evidence: 'sha256:x', cause: 'expired' });
          expect(isRefusal(copy)).toBe(false);
        }
      }),
    );
  });

  test('is not what only holds one, or has one as its prototype', () => {
    expect(isRefusal(Object.assign(Object.create(null) as object, { refusal: 'internal' }))).toBe(false);
    expect(isRefusal(Object.create(refuse('internal')) as object)).toBe(false);
    expect(isRefusal([refuse('internal')])).toBe(false);
  });

  test('becomes a deny that says what it says', () => {
    expect(
      denyFor(refuse('token_expired', 'an hour ago', { evidence: 'sha256:x', cause: 'expired' }), 'sha256:y'),
    ).toEqual({
      verdict: 'deny',
      reason: 'token_expired',
      policies: [],
      detail: 'an hour ago',
      evidence: 'sha256:x',
      cause: 'expired',
      snapshot: 'sha256:y',
    });
    expect(Object.keys(denyFor(refuse('internal')))).toEqual(['verdict', 'reason', 'policies']);
  });
});
