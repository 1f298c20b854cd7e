import { describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const PEP = 'spiffe://prod.example.com/ns/mesh/sa/pep';
const BASE = {
  spiffe: {
    source: 'files',
    cert_file: 'c.pem',
    key_file: 'k.pem',
    bundles: [{ trust_domain: 'prod.example.com', file: 'b.pem' }],
  },
  grpc: { allow: [PEP] },
  policies: { sets: ['p'] },
};
const STAFF = {
  name: 'staff',
  issuer: 'https://idp.example.com',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  jwks: { file: 'jwks.json' },
};
const PROXY = { ...STAFF, name: 'proxy', header: 'x-assertion' };
const PRESET = { preset: 'google-iap', name: 'iap', audiences: ['pdp'] };
const CLUSTER = {
  ...STAFF,
  name: 'cluster',
  use: 'workload',
  kubernetes: { trust_domain: 'cluster.local' },
};
const onward = (header: string) => ({ onward_identity: { issuer: 'https://pdp.example.com', header } });
const jwtSvid = (header: string) => ({ jwt_svid: { audiences: ['pdp'], header } });

function problems(config: object): string[] {
  const { error } = ConfigSchema.safeParse({ ...BASE, ...config });
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('one header', () => {
  test.each<[string, object]>([
    ['the tokens of several issuers of users', { issuers: [STAFF, { ...STAFF, name: 'partner' }, PROXY] }],
    ['bearer tokens and JWT-SVIDs', { issuers: [STAFF], workloads: jwtSvid('authorization') }],
    ['assertions of several proxies', { issuers: [PROXY, { ...PROXY, name: 'other', issuer: 'https://o' }] }],
  ])('may carry %s', (_what, config) => {
    expect(problems(config)).toEqual([]);
  });

  test.each<[string, object, string]>([
    [
      'user tokens and device assertions',
      { devices: { assertion_header: 'authorization' } },
      "devices.assertion_header: 'authorization' carries user tokens already; choose a header of its own",
    ],
    [
      'a proxy’s assertions and those of devices',
      { issuers: [PROXY], devices: { assertion_header: 'x-assertion' } },
      "devices.assertion_header: 'x-assertion' carries user tokens already",
    ],
    [
      'the assertions of a preset and those of devices',
      { issuers: [PRESET], devices: { assertion_header: 'x-goog-iap-jwt-assertion' } },
      "devices.assertion_header: 'x-goog-iap-jwt-assertion' carries user tokens already",
    ],
    [
      'user tokens and service account tokens',
      { issuers: [CLUSTER], workloads: { kubernetes_token: { header: 'authorization' } } },
      "workloads.kubernetes_token.header: 'authorization' carries user tokens already",
    ],
    [
      'a proxy’s assertions and service account tokens',
      { issuers: [PROXY, CLUSTER], workloads: { kubernetes_token: { header: 'x-assertion' } } },
      "workloads.kubernetes_token.header: 'x-assertion' carries user tokens already",
    ],
    [
      'JWT-SVIDs and service account tokens',
      { issuers: [CLUSTER], workloads: jwtSvid('x-workload-token') },
      "workloads.kubernetes_token.header: 'x-workload-token' carries JWT-SVIDs already",
    ],
    [
      'a proxy’s assertions and JWT-SVIDs',
      { issuers: [PROXY], workloads: jwtSvid('x-assertion') },
      "workloads.jwt_svid.header: 'x-assertion' carries user tokens already",
    ],
    [
      'device assertions and JWT-SVIDs',
      { workloads: jwtSvid('x-device-assertion') },
      "workloads.jwt_svid.header: 'x-device-assertion' carries device assertions already",
    ],
    [
      'a proxy’s assertions and the onward identity',
      { issuers: [PROXY], ...onward('x-assertion') },
      "onward_identity.header: 'x-assertion' carries user tokens already",
    ],
    [
      'device assertions and the onward identity',
      onward('x-device-assertion'),
      "onward_identity.header: 'x-device-assertion' carries device assertions already",
    ],
    [
      'DPoP proofs and user tokens',
      { issuers: [{ ...STAFF, header: 'dpop' }] },
      "issuers.0.header: 'dpop' carries DPoP proofs already",
    ],
    [
      'DPoP proofs and the onward identity',
      onward('dpop'),
      "onward_identity.header: 'dpop' carries DPoP proofs already",
    ],
    [
      'certificates of clients and user tokens',
      {
        issuers: [{ ...STAFF, header: 'x-forwarded-client-cert' }],
        workloads: { xfcc: { from: [PEP] } },
      },
      "workloads.xfcc: 'x-forwarded-client-cert' carries user tokens already",
    ],
    [
      'certificates of clients and device assertions',
      { devices: { assertion_header: 'client-cert' }, workloads: { client_cert: { from: [PEP] } } },
      "devices.assertion_header: 'client-cert' carries certificates already",
    ],
  ])('is refused for %s', (_what, config, problem) => {
    expect(problems(config)).toEqual([expect.stringContaining(problem)]);
  });

  test('that carries three kinds is told of each repeat', () => {
    const config = {
      issuers: [PROXY],
      devices: { assertion_header: 'x-assertion' },
      ...onward('x-assertion'),
    };
    expect(problems(config)).toHaveLength(2);
  });

  test('of service account tokens is nobody’s where there is no cluster', () => {
    expect(problems({ devices: { assertion_header: 'x-workload-token' } })).toEqual([]);
  });

  test.each<[string, object]>([
    ['issuers.0.header', { issuers: [{ ...STAFF, header: 'X-Token' }] }],
    ['devices.assertion_header', { devices: { assertion_header: 'X-Device' } }],
    ['devices.assertion_header', { devices: { assertion_header: '' } }],
    ['workloads.jwt_svid.header', { workloads: jwtSvid('a b') }],
    ['onward_identity.header', onward('x_identity')],
  ])('at %s is a lower-case name', (path, config) => {
    expect(problems(config)).toContain(`${path}: must be the lower-case name of a header`);
  });
});
