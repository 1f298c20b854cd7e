import { describe, expect, test } from 'vitest';
import type { Workloads } from '../../../../src/pdp/identity.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { receivedOf, receivedWith, requestWith, fingerprintOf } from '../fixture.ts';

const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
const LEDGER = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';

describe('workload authenticator', () => {
  test('takes both principals of the PEP', () => {
    const request = requestWith({ source: { principal: WEB }, destination: { principal: LEDGER } });
    expect(createWorkloadAuthenticator().authenticate(receivedOf(request))).toEqual({
      source: { ...parseSpiffeId(WEB), evidence: 'principal' },
      destination: parseSpiffeId(LEDGER),
    });
  });

  test('finds no identity where there is no mutual TLS', () => {
    expect(createWorkloadAuthenticator().authenticate(receivedWith())).toEqual({});
  });

  test.each(['payments.example.com', 'CN=web,O=Example', 'x'.repeat(3000), 'https://example.com/'])(
    'finds no identity in the principal %j, the first time and the next',
    (principal) => {
      const authenticator = createWorkloadAuthenticator();
      const request = requestWith({ source: { principal }, destination: { principal } });
      expect(authenticator.authenticate(receivedOf(request))).toEqual({});
      expect(authenticator.authenticate(receivedOf(request))).toEqual({});
    },
  );

  test.each([
    'spiffe://prod.example.com',
    'SPIFFE://prod.example.com/ns/frontend/sa/web',
    'Spiffe://prod.example.com/x',
    'spiffe://prod.example.com/ns/../frontend/sa/web',
    'spiffe://prod.example.com/ns/frontend/sa/web/',
    'spiffe://Prod.example.com/ns/frontend/sa/web',
    'spiffe://prod.example.com/ns/frontend/sa/web?x',
    'prod.example.com/ns/frontend/sa',
    'CN=spiffe://prod.example.com/ns/frontend/sa/web',
    `spiffe://prod.example.com/${'x'.repeat(3000)}`,
  ])('refuses the principal %j, which looks like a SPIFFE ID, at either end', (principal) => {
    const authenticator = createWorkloadAuthenticator();
    for (const end of ['source', 'destination', 'source'] as const)
      expect(authenticator.authenticate(receivedWith({ [end]: { principal } }))).toEqual({
        refusal: 'workload_evidence_invalid',
        detail: expect.stringContaining('looks like a SPIFFE ID') as string,
        cause: 'spiffe_id',
        evidence: fingerprintOf(principal),
      });
  });

  test('answers at once, without a promise, and with the same objects for what it has seen', () => {
    const authenticator = createWorkloadAuthenticator();
    const [first, second] = [1, 2].map(() =>
      authenticator.authenticate(receivedWith({ source: { principal: WEB } })),
    );
    expect(first).not.toBeInstanceOf(Promise);
    expect((first as Workloads).source).toBe((second as Workloads).source);
  });

  test('takes nothing else as evidence', () => {
    const request = requestWith({
      source: { service: WEB, certificate: '', ip: '10.0.0.1' },
      headers: [
        ['x-forwarded-client-cert', `By=${LEDGER};Hash=00;URI=${WEB}`],
        ['x-spiffe-id', WEB],
        ['x-envoy-downstream-service-cluster', WEB],
      ],
    });
    expect(createWorkloadAuthenticator().authenticate(receivedOf(request))).toEqual({});
  });

  test('remembers no more principals than it may, and stays right', () => {
    const authenticator = createWorkloadAuthenticator({ maxEntries: 2 });
    for (const round of [1, 2]) {
      for (let index = 0; index < 10; index += 1) {
        const principal = `spiffe://td/${round}/${index}`;
        const answer = authenticator.authenticate(receivedWith({ source: { principal } }));
        expect(answer).toMatchObject({ source: { id: principal } });
      }
    }
  });
});
