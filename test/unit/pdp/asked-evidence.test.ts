import { expect, test } from 'vitest';
import { askingWorkload, evidenceOf } from '../../../src/pdp/asked-evidence.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import type { WorkloadIdentity } from '../../../src/pdp/identity.ts';
import type { Asked } from '../../../src/pdp/trace.ts';
import { createWorkloadAuthenticator } from '../../../src/pip/workload/workload.ts';
import { workload } from '../pip/workload/fixture.ts';

const APP = workload('spiffe://prod.example.com/ns/shop/sa/cart');
const OTHER = workload('spiffe://prod.example.com/ns/shop/sa/other');
const UNTIL = 1_800_000_000_000;

/** A question of the cart over mutual TLS, about a workload where one is given. */
function asked(subject?: WorkloadIdentity): Asked {
  const uid = { type: 'Shop::Order', id: '1' };
  const resource = { uid, properties: {}, subjects: [] };
  return {
    id: 'd',
    surface: 'check',
    pep: { address: '127.0.0.1:1', workload: APP, provenUntil: UNTIL },
    receivedAt: 0,
    startedAt: 0,
    asked: {
      ...(subject && { subject: { ...resource, workload: subject } }),
      credentials: new HeaderFields([], false),
      action: { type: 'Shop::Action', id: 'view' },
      resource,
      context: {},
      asserted: [],
    },
  };
}

test('whoever asks over mutual TLS is the source, as long as its certificate is good', () => {
  expect(askingWorkload(asked())).toEqual({ ...APP, evidence: 'principal', provenUntil: UNTIL });
});

test('whoever asks about a workload is not the source, nor is anybody else', () => {
  expect(askingWorkload(asked(OTHER))).toBeUndefined();
});

test.each(['agree', 'chain'] as const)(
  'the asking workload needs no word of a PEP, where certificates must %s',
  async (sourceCertificates) => {
    const authenticator = createWorkloadAuthenticator({
      sourceCertificates,
      verify: () => ({ cause: 'chain', problem: 'never' }),
    });
    const question = asked();
    const received = evidenceOf(question);
    expect(received.request.source).toEqual({ principal: '', certificate: '', service: '' });
    const found = await authenticator.authenticate(received, askingWorkload(question));
    expect(found).toEqual({ source: { ...APP, evidence: 'principal', provenUntil: UNTIL } });
  },
);
