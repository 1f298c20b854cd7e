import { describe, expect, test } from 'vitest';
import type { RefusalAbout } from '../../../../src/pdp/decision.ts';
import type { Identities, ProvenWorkload, RefusedEvidence } from '../../../../src/pdp/identity.ts';
import { allowedTrace, recordLine, refusedTrace } from '../trace-fixture.ts';

const WEB: ProvenWorkload = {
  id: 'spiffe://prod.example.com/ns/frontend/sa/web',
  trustDomain: 'prod.example.com',
  path: '/ns/frontend/sa/web',
  namespace: 'frontend',
  serviceAccount: 'web',
  evidence: 'principal',
};
const CERTIFICATE = { fingerprint: 'f'.repeat(43), issuer: 'O=prod.example.com CA' };

const OPTIONS = { log: 'l', engine: 'e', acceptsTokens: true, httpStatus: () => 200 };

function record(identities: Omit<Identities, 'tokenState'>): Record<string, unknown> {
  const trace = allowedTrace({ identities: { ...identities, tokenState: 'absent' } });
  return JSON.parse(recordLine(trace, OPTIONS)) as Record<string, unknown>;
}

describe('the workloads in a record', () => {
  test('are named with what proved them', () => {
    expect(record({ source: WEB, certificate: CERTIFICATE })).toMatchObject({
      mtls: true,
      source_identity: {
        spiffe_id: WEB.id,
        trust_domain: 'prod.example.com',
        namespace: 'frontend',
        service_account: 'web',
        evidence: 'principal',
        certificate_issuer: 'O=prod.example.com CA',
      },
      source_certificate: CERTIFICATE.fingerprint,
    });
  });

  test('are told apart', () => {
    const origin: ProvenWorkload = {
      ...WEB,
      id: 'spiffe://a/b',
      trustDomain: 'a',
      path: '/b',
      evidence: 'xfcc',
    };
    expect(record({ source: WEB, origin, claimedSources: ['spiffe://x/y'] })).toMatchObject({
      origin_identity: { spiffe_id: 'spiffe://a/b', trust_domain: 'a', evidence: 'xfcc' },
      claimed_sources: ['spiffe://x/y'],
    });
  });

  test('leave out what there is not', () => {
    const plain = record({ source: WEB });
    for (const field of ['origin_identity', 'claimed_sources', 'source_certificate'])
      expect(plain).not.toHaveProperty(field);
  });

  test('that hold a token have no certificate of their own, whatever the connection shows', () => {
    const holder = record({ source: { ...WEB, evidence: 'jwt_svid' }, certificate: CERTIFICATE });
    expect(holder).toMatchObject({ mtls: false, source_certificate: CERTIFICATE.fingerprint });
    expect(holder['source_identity']).not.toHaveProperty('certificate_issuer');
  });

  test('a certificate of nobody is there all the same', () => {
    const line = record({ certificate: { fingerprint: 'x' } });
    expect(line).toMatchObject({ mtls: false, source_certificate: 'x' });
    expect(line).not.toHaveProperty('source_identity');
  });

  test('claims are cut in number and length', () => {
    const claimedSources = Array.from(
      { length: 300 },
      (_, index) => `spiffe://td/${index}${'x'.repeat(5000)}`,
    );
    const line = JSON.stringify(record({ source: WEB, claimedSources }));
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(65_535);
  });
});

describe('the record of evidence that was refused', () => {
  function refused(refusal: RefusedEvidence, about: RefusalAbout = {}): Record<string, unknown> {
    const trace = refusedTrace({ refused: refusal, stage: 'authenticate' });
    const decision = { verdict: 'deny', reason: 'token_expired', policies: [], ...about } as const;
    return JSON.parse(recordLine({ ...trace, decision }, OPTIONS)) as Record<string, unknown>;
  }

  test.each(['invalid', 'unverifiable'] as const)(
    'of a token that is %s: the workload that was proven',
    (tokenState) => {
      const proven = { source: WEB, certificate: CERTIFICATE, tokenState };
      const line = refused({ kind: 'token', proven }, { cause: 'audience', evidence: 'sha256:abc' });
      expect(line).toMatchObject({
        source_identity: { spiffe_id: WEB.id, evidence: 'principal' },
        mtls: true,
        token: { state: tokenState },
        cause: 'audience',
        evidence: 'sha256:abc',
      });
      for (const party of ['user', 'device']) expect(line).not.toHaveProperty(party);
    },
  );

  test('of a token: the cause that its reason stands for', () => {
    expect(refused({ kind: 'token', proven: { tokenState: 'invalid' } })).toMatchObject({ cause: 'expired' });
  });

  test('of a device: also the user', () => {
    const user = allowedTrace().identities?.user;
    if (!user) throw new Error('no user');
    const line = refused({ kind: 'device', proven: { source: WEB, user, tokenState: 'valid' } });
    expect(line).toMatchObject({ user: user.id, token: { state: 'valid', sub: 'alice' } });
    expect(line).not.toHaveProperty('device');
  });

  test('of a workload: nothing, since nothing was proven', () => {
    const line = refused({ kind: 'workload' }, { cause: 'chain' });
    expect(line).toMatchObject({ cause: 'chain' });
    for (const member of ['source_identity', 'mtls', 'token', 'user'])
      expect(line).not.toHaveProperty(member);
  });

  test('is not what a deny without evidence has', () => {
    expect(JSON.parse(recordLine(refusedTrace(), OPTIONS))).not.toHaveProperty('cause');
    expect(JSON.parse(recordLine(allowedTrace(), OPTIONS))).not.toHaveProperty('cause');
  });
});
