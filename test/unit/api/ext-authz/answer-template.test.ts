import { describe, expect, test } from 'vitest';
import { encodeOnce } from '../../../../src/api/ext-authz/answer-template.ts';
import { createEncoder } from '../../../../src/api/ext-authz/encode.ts';
import { decisionId } from '../../../../src/pdp/decision-id.ts';
import { type Decision, denyFor, refuse } from '../../../../src/pdp/decision.ts';
import { EXT_AUTHZ_TYPES } from '../../../support/requests.ts';

const MARK = 'ffffffff-ffff-7fff-bfff-ffffffffffff';
const encode = createEncoder(EXT_AUTHZ_TYPES.CheckResponse, { realm: 'test', faultsAsError: false });

function counting() {
  let encoded = 0;
  const once = encodeOnce((id, decision) => {
    encoded += 1;
    return encode(id, decision);
  });
  return { once, encoded: () => encoded };
}

const PERMIT: Decision = {
  verdict: 'permit',
  reason: 'permitted',
  policies: ['a', 'b'],
  snapshot: 'sha256:1',
  cacheableUntil: 1_800_000_000_000,
  upstreamHeaders: [['x-user', 'alice']],
};

describe('an answer that was given before', () => {
  test.each<[string, Decision]>([
    ['a permit', PERMIT],
    ['a deny', denyFor(refuse('token_expired', 'late'), 'sha256:1')],
    ['a challenge', { verdict: 'deny', reason: 'authentication_required', policies: [] }],
  ])('is byte for byte what the encoder makes of %s, which it does twice', (_what, decision) => {
    const { once, encoded } = counting();
    for (let index = 0; index < 5; index++) {
      const id = decisionId(index);
      expect(once(id, decision)).toEqual(encode(id, decision));
    }
    expect(encoded()).toBe(2);
  });

  test.each<[string, Decision]>([
    ['a policy', { ...PERMIT, policies: [MARK] }],
    ['a header', { ...PERMIT, upstreamHeaders: [['x-id', `a${MARK}b`]] }],
    ['a message', { verdict: 'deny', reason: 'policy_forbids', policies: ['p'], message: MARK }],
  ])('is encoded as it is where %s holds the mark', (_what, decision) => {
    const { once } = counting();
    for (const id of [decisionId(1), decisionId(2)]) expect(once(id, decision)).toEqual(encode(id, decision));
  });

  test('has bytes of its own', () => {
    const { once } = counting();
    const first = once(decisionId(1), PERMIT);
    const before = Buffer.from(first);
    once(decisionId(2), PERMIT).fill(0);
    expect(first).toEqual(before);
  });
});
