import { describe, expect, test } from 'vitest';
import type { Identities, ProvenWorkload } from '../../../src/pdp/identity.ts';
import { allowedTrace, recordLine } from './trace-fixture.ts';

const WEB: ProvenWorkload = {
  id: 'spiffe://prod.example.com/ns/frontend/sa/web',
  trustDomain: 'prod.example.com',
  path: '/ns/frontend/sa/web',
  namespace: 'frontend',
  serviceAccount: 'web',
  evidence: 'principal',
};
const CERTIFICATE = { fingerprint: 'f'.repeat(43), issuer: 'O=prod.example.com CA' };

function record(identities: Omit<Identities, 'tokenState'>): Record<string, unknown> {
  const trace = allowedTrace({ identities: { ...identities, tokenState: 'absent' } });
  const options = { log: 'l', engine: 'e', httpStatus: () => 200 };
  return JSON.parse(recordLine(trace, options)) as Record<string, unknown>;
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
    expect(record({ certificate: { fingerprint: 'x' } })).toMatchObject({
      mtls: false,
      source_identity: null,
      source_certificate: 'x',
    });
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
