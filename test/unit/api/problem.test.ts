import { describe, expect, test } from 'vitest';
import { problemDetails, wwwAuthenticate } from '../../../src/api/problem.ts';
import { STATUS } from '../../../src/api/status.ts';
import { DENY_REASONS, type Deny, denyFor, refuse } from '../../../src/pdp/decision.ts';

const deny = (fields: Partial<Deny>): Deny => ({ ...denyFor(refuse('no_permit')), ...fields });

describe('problem details', () => {
  test.each(DENY_REASONS)('of %s are RFC 9457 and hold nothing for operators', (reason) => {
    const decision = deny({
      reason,
      detail: 'OPERATOR ONLY',
      snapshot: 'sha256:secret',
      policies: ['internal-policy'],
    });
    const body = problemDetails('id-1', decision);
    expect(JSON.parse(body)).toEqual({
      type: `urn:cedar-pdp:problem:${reason}`,
      title: STATUS[reason].message,
      status: STATUS[reason].http,
      reason,
      decision_id: 'id-1',
    });
    expect(body).not.toMatch(/OPERATOR|internal-policy|sha256/);
  });

  test("carry the policies' public words", () => {
    expect(
      JSON.parse(problemDetails('i', deny({ reason: 'policy_forbids', message: 'say "why"' }))),
    ).toMatchObject({ detail: 'say "why"' });
  });
});

describe('the challenge', () => {
  test.each<[Partial<Deny>, string | undefined]>([
    [{ reason: 'no_permit' }, undefined],
    [{ reason: 'internal' }, undefined],
    [{ reason: 'authentication_required' }, 'Bearer realm="r"'],
    [{ reason: 'authentication_required', message: 'not told here' }, 'Bearer realm="r"'],
    [
      { reason: 'token_expired' },
      'Bearer realm="r", error="invalid_token", error_description="the token has expired"',
    ],
    [
      { reason: 'credentials_conflict' },
      'Bearer realm="r", error="invalid_request", error_description="more than one credential was sent"',
    ],
    [
      {
        reason: 'step_up_required',
        message: 'mfa please',
        advice: { kind: 'step_up', acrValues: 'mfa phr' },
      },
      'Bearer realm="r", error="insufficient_user_authentication", error_description="mfa please", acr_values="mfa phr"',
    ],
    [
      { reason: 'step_up_required', message: 'a "quoted\\" word' },
      `Bearer realm="r", error="insufficient_user_authentication", error_description="a 'quoted'' word"`,
    ],
  ])('of %j is %s', (fields, header) => {
    expect(wwwAuthenticate(deny(fields), 'r')).toBe(header);
  });

  test.each(DENY_REASONS)('of %s is a well-formed header value', (reason) => {
    for (const algorithms of [[], ['ES256', 'PS256']]) {
      const header = wwwAuthenticate(deny({ reason, message: 'x "y" \\ z' }), 'cedar pdp', algorithms);
      const challenge = /(Bearer|DPoP) [a-z_]+="[^"\\]*"(, [a-z_]+="[^"\\]*")*/.source;
      if (header !== undefined) expect(header).toMatch(new RegExp(`^${challenge}(, ${challenge})?$`));
    }
  });

  test('of a proof that is not accepted is for the scheme DPoP, and names the algorithms (RFC 9449)', () => {
    expect(wwwAuthenticate(deny({ reason: 'dpop_proof_invalid' }), 'r', ['ES256', 'PS256'])).toBe(
      'DPoP realm="r", error="invalid_dpop_proof", error_description="the proof of possession is not accepted", algs="ES256 PS256"',
    );
    expect(wwwAuthenticate(deny({ reason: 'dpop_proof_invalid' }), 'r')).not.toContain('algs');
  });

  test('offers both schemes where proofs are accepted', () => {
    expect(wwwAuthenticate(deny({ reason: 'authentication_required' }), 'r', ['ES256'])).toBe(
      'Bearer realm="r", DPoP realm="r", algs="ES256"',
    );
  });

  test('never offers a nonce', () => {
    for (const reason of DENY_REASONS)
      expect(wwwAuthenticate(deny({ reason }), 'r', ['ES256']) ?? '').not.toContain('use_dpop_nonce');
  });
});
