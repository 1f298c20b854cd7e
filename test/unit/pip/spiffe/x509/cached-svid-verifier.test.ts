import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrustBundles } from '../../../../../src/pdp/x509-svid.ts';
import { createCachedSvidVerifier } from '../../../../../src/pip/spiffe/x509/cached-svid-verifier.ts';
import { type TestCa, createTestCa } from '../../../../support/test-ca.ts';
import { bundleOf } from '../fixture.ts';

const DOMAIN = 'prod.example.com';
const ID = `spiffe://${DOMAIN}/ns/payments/sa/payment-api`;
const HOUR = 3_600_000;
const NOW = Date.now();

let ca: TestCa;

beforeAll(async () => {
  ca = await createTestCa(DOMAIN);
});

afterAll(() => ca[Symbol.asyncDispose]());

function trusting(...authorities: readonly TestCa[]): TrustBundles {
  return new Map([[DOMAIN, bundleOf(DOMAIN, ...authorities)]]);
}

describe('a verifier that remembers', () => {
  test('gives the same finding again while nothing has changed', async () => {
    const bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID });
    const first = verify(chain, NOW);
    expect(first).toHaveProperty('identity.id', ID);
    expect(verify(chain, NOW + 1)).toBe(first);
  });

  test('keeps the finding where only the bundle of another trust domain changes', async () => {
    const ours = bundleOf(DOMAIN, ca);
    let bundles: TrustBundles = new Map([[DOMAIN, ours]]);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID });
    const first = verify(chain, NOW);
    bundles = new Map([
      [DOMAIN, ours],
      ['other.example', bundleOf('other.example')],
    ]);
    expect(verify(chain, NOW)).toBe(first);
  });

  test.each([
    ['is withdrawn', (): TrustBundles => new Map()],
    ['is emptied', () => trusting()],
  ])('refuses at once when the bundle %s', async (_what, after) => {
    let bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID });
    expect(verify(chain, NOW)).toHaveProperty('identity');
    bundles = after();
    expect(verify(chain, NOW)).toHaveProperty('cause', 'trust_domain');
  });

  test('refuses from the moment that the certificate expires', async () => {
    const bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID, notAfter: NOW + HOUR });
    expect(verify(chain, NOW)).toHaveProperty('identity');
    expect(verify(chain, NOW + HOUR + 1_000)).toHaveProperty('cause', 'expired');
    expect(verify(chain, NOW - 2 * HOUR)).toHaveProperty('cause', 'not_yet_valid');
  });

  test('accepts a certificate as soon as it becomes valid', async () => {
    const bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issue({ spiffeId: ID, notBefore: NOW + 60_000, notAfter: NOW + HOUR });
    expect(verify(chain, NOW)).toHaveProperty('cause', 'not_yet_valid');
    expect(verify(chain, NOW + 61_000)).toHaveProperty('identity');
  });

  test('tells chains apart that begin with the same leaf', async () => {
    const bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await ca.issueAuthority().issue({ spiffeId: ID });
    expect(verify(chain, NOW)).toHaveProperty('identity');
    expect(verify(chain.slice(0, 1), NOW)).toHaveProperty('cause', 'chain');
    expect(verify([Buffer.concat(chain)], NOW)).toHaveProperty('cause', 'malformed');
    expect(verify(chain, NOW)).toHaveProperty('identity');
  });

  test('remembers a refusal until the bundles change, and not for long', async () => {
    await using next = await createTestCa(DOMAIN);
    let bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles);
    const { chain } = await next.issue({ spiffeId: ID });
    const refused = verify(chain, NOW);
    expect(refused).toHaveProperty('cause', 'chain');
    expect(verify(chain, NOW + 9_000)).toBe(refused);
    const later = verify(chain, NOW + 10_000);
    expect(later).toEqual(refused);
    expect(later).not.toBe(refused);
    bundles = trusting(ca, next);
    expect(verify(chain, NOW)).toHaveProperty('identity');
  });

  test('remembers no more chains than it was told to', async () => {
    const bundles = trusting(ca);
    const verify = createCachedSvidVerifier(() => bundles, { maxEntries: 1 });
    const { chain } = await ca.issue({ spiffeId: ID });
    const first = verify(chain, NOW);
    verify((await ca.issue({ spiffeId: `${ID}2` })).chain, NOW);
    expect(verify(chain, NOW)).toEqual(first);
    expect(verify(chain, NOW)).not.toBe(first);
  });
});
