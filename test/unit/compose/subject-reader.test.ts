import { expect, test } from 'vitest';
import { createSubjectReader } from '../../../src/compose/subject-reader.ts';
import { ConfigSchema } from '../../../src/config.ts';

const issuer = (name: string, more: object = {}) => ({
  name,
  issuer: `https://${name}.example.com`,
  audiences: ['api'],
  algorithms: ['ES256'],
  jwks: { file: 'keys.json' },
  ...more,
});

const config = ConfigSchema.parse({
  grpc: { plaintext: true },
  policies: { sets: ['p'] },
  issuers: [
    issuer('idp'),
    issuer('saas', { claims: { tenant: 'tid' } }),
    issuer('mdm', { use: 'device' }),
    issuer('cluster', { use: 'workload', kubernetes: { trust_domain: 'prod.example.com' } }),
  ],
});
const read = createSubjectReader(config);

test.each([
  ['user', 'idp/alice'],
  ['session', 'saas/s1'],
  ['tenant', 'saas/acme'],
  ['device', 'mdm/laptop'],
  ['device', 'inventory/laptop'],
  ['workload', 'spiffe://prod.example.com/ns/shop/sa/web'],
])('a %s that a token can name is read', (kind, id) => {
  expect(read({ kind, id })).toEqual({ kind, id });
});

test.each<[string, string, RegExp]>([
  ['user', 'ipd/alice', /the issuer 'ipd', of which no users are configured \(idp, saas\)/],
  ['user', 'mdm/laptop', /no users are configured/],
  ['session', 'cluster/s1', /no users are configured/],
  ['tenant', 'idp/acme', /tenant of 'idp', whose tokens name none/],
  ['user', 'idp/alice\u00a0', /a character that nobody sees/],
  ['user', 'idp/al\u200bice', /a character that nobody sees/],
  ['user', 'idp/ alice', /a space at an end/],
  ['session', 'idp/s1 ', /a space at an end/],
  ['user', 'idp/\u0430lice', /printable ASCII/],
])('a %s that no token could name, %s, is a problem', (kind, id, words) => {
  expect(read({ kind, id })).toEqual({ problem: expect.stringMatching(words) as string });
});

test('the issuer of the demo has users, of no tenant', () => {
  const demo = createSubjectReader({ issuers: [], demo: true });
  expect(demo({ kind: 'user', id: 'demo/alice' })).toEqual({ kind: 'user', id: 'demo/alice' });
  expect(demo({ kind: 'tenant', id: 'demo/acme' })).toHaveProperty('problem');
});
