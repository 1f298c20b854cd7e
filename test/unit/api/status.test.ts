import { describe, expect, test } from 'vitest';
import { FAULT_REASONS } from '../../../src/pdp/decision.ts';
import { STATUS, type WireStatus, httpStatusOf } from '../../../src/api/status.ts';
import { DENY_REASONS, denyFor, refuse } from '../../../src/pdp/decision.ts';

test('has one row for each reason and no other', () => {
  expect(Object.keys(STATUS).toSorted()).toEqual([...DENY_REASONS].toSorted());
});

describe.each(DENY_REASONS)('%s', (reason) => {
  const row: WireStatus = STATUS[reason];

  test('is an error in both worlds: never a gRPC OK, never an HTTP success', () => {
    expect(row.grpc).toBeGreaterThan(0);
    expect(row.grpc).toBeLessThanOrEqual(16);
    expect(row.http).toBeGreaterThanOrEqual(400);
    expect(row.http).toBeLessThan(600);
    expect(httpStatusOf(denyFor(refuse(reason)))).toBe(row.http);
  });

  test('has public words that name no policy, party or part of ours', () => {
    expect(row.message).toMatch(/^[a-z][ -~]+$/);
    expect(row.message).not.toMatch(/cedar|redis|polic|spiffe|snapshot|engine|issuer|audience|signature/i);
    expect(row.message).not.toContain('"');
  });

  test('challenges exactly where it is a 401 or the credentials conflict (RFC 6750 §3)', () => {
    expect(row.challenge !== undefined).toBe(row.http === 401 || reason === 'credentials_conflict');
    if (row.challenge === 'invalid_request') expect(row.http).toBe(400);
  });

  test('is a fault exactly where it is a 503 that is not the doing of the caller', () => {
    expect(FAULT_REASONS.has(reason)).toBe(row.http === 503);
  });
});

test('every bad token is a 401 invalid_token', () => {
  for (const reason of DENY_REASONS.filter((name) => name.startsWith('token_'))) {
    expect(STATUS[reason]).toMatchObject({ http: 401, grpc: 16, challenge: 'invalid_token' });
  }
});

test('a permit is told as 200', () => {
  expect(httpStatusOf({ verdict: 'permit', reason: 'permitted', policies: [] })).toBe(200);
});
