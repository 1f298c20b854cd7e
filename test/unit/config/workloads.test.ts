import { describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const PEP = 'spiffe://prod.example.com/ns/mesh/sa/pep';
const SPIFFE = {
  source: 'files',
  cert_file: 'c.pem',
  key_file: 'k.pem',
  bundles: [{ trust_domain: 'prod.example.com', file: 'b.pem' }],
};
const MUTUAL = { spiffe: SPIFFE, grpc: { allow: [PEP] }, policies: { sets: ['p'] } };
const PLAINTEXT = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
const CLUSTER = {
  name: 'cluster',
  issuer: 'https://kubernetes.default.svc',
  use: 'workload',
  audiences: ['cedar-pdp'],
  algorithms: ['RS256'],
  jwks: { file: 'jwks.json' },
};

function problems(config: object): string[] {
  const { error } = ConfigSchema.safeParse(config);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('workloads', () => {
  test('reads no evidence but principals and certificates unless told to', () => {
    expect(ConfigSchema.parse(PLAINTEXT).workloads).toEqual({
      verify_source_certificates: 'agree',
      kubernetes_token: { header: 'x-workload-token' },
    });
  });

  test('takes everything at once', () => {
    const workloads = {
      verify_source_certificates: 'chain',
      xfcc: { from: [PEP], trusted_hops: 2, proxies: ['spiffe://prod.example.com/ns/edge/*'] },
      client_cert: { from: [PEP] },
      jwt_svid: { header: 'authorization', audiences: ['pdp'] },
    };
    expect(problems({ ...MUTUAL, workloads })).toEqual([]);
  });

  test.each<[string, object, string]>([
    ['nobody to believe', { xfcc: { from: [] } }, 'workloads.xfcc.from: name at least one'],
    ['a pattern that is none', { xfcc: { from: ['spiffe://*'] } }, 'workloads.xfcc.from.0'],
    ['no hops', { xfcc: { from: [PEP], trusted_hops: 0 } }, 'workloads.xfcc.trusted_hops'],
    ['too many hops', { xfcc: { from: [PEP], trusted_hops: 9 } }, 'workloads.xfcc.trusted_hops'],
    ['hops without proxies', { xfcc: { from: [PEP], trusted_hops: 2 } }, 'workloads.xfcc.proxies: is needed'],
    [
      'proxies without hops',
      { xfcc: { from: [PEP], proxies: [PEP] } },
      'workloads.xfcc.proxies: has no effect',
    ],
    ['no audience', { jwt_svid: { audiences: [] } }, 'workloads.jwt_svid.audiences: name at least one'],
    [
      'a header in capitals',
      { jwt_svid: { audiences: ['a'], header: 'X-Svid' } },
      'workloads.jwt_svid.header',
    ],
    [
      'a header of service account tokens that nobody issues',
      { kubernetes_token: { header: 'x-cluster-token' } },
      'workloads.kubernetes_token.header: has no effect without an issuer with `use: workload`',
    ],
    ['an unknown key', { xfcc: { from: [PEP], hops: 1 } }, 'workloads.xfcc: Unrecognized key'],
  ])('refuses %s', (_what, workloads, problem) => {
    expect(problems({ ...MUTUAL, workloads }).join('\n')).toContain(problem);
  });

  test.each<[string, object, string]>([
    ['chains', { verify_source_certificates: 'chain' }, 'verify_source_certificates: needs trust bundles'],
    ['Client-Cert', { client_cert: { from: [PEP] } }, 'client_cert: needs trust bundles'],
    ['JWT-SVIDs', { jwt_svid: { audiences: ['a'] } }, 'jwt_svid: needs trust bundles'],
    ['XFCC of PEPs that nobody knows', { xfcc: { from: [PEP] } }, 'xfcc: has no effect in plaintext'],
    ['Client-Cert of such PEPs', { client_cert: { from: [PEP] } }, 'client_cert: has no effect in plaintext'],
  ])('refuses %s without what they rest on', (_what, workloads, problem) => {
    expect(problems({ ...PLAINTEXT, workloads }).join('\n')).toContain(`workloads.${problem}`);
  });
});

describe('issuers of workloads', () => {
  test('are clusters with a trust domain', () => {
    const kubernetes = { trust_domain: 'prod.example.com' };
    expect(problems({ ...PLAINTEXT, issuers: [{ ...CLUSTER, kubernetes }] })).toEqual([]);
  });

  test.each<[string, object]>([
    ['without one', CLUSTER],
    ['that are for users', { ...CLUSTER, use: 'user', kubernetes: { trust_domain: 'prod.example.com' } }],
    ['with one that is none', { ...CLUSTER, kubernetes: { trust_domain: 'spiffe://prod.example.com' } }],
    ['with a path after it', { ...CLUSTER, kubernetes: { trust_domain: 'cluster.local/ns/x/sa/y' } }],
  ])('are refused %s', (_what, issuer) => {
    expect(problems({ ...PLAINTEXT, issuers: [issuer] }).join('\n')).toContain('issuers.0.kubernetes');
  });

  test.each<[string, object]>([
    ['header', { header: 'x-token' }],
    ['binding', { binding: 'certificate' }],
    ['claims', { claims: { groups: 'groups' } }],
  ])('are refused with %s, which is for users', (key, more) => {
    const kubernetes = { trust_domain: 'prod.example.com' };
    const found = problems({ ...PLAINTEXT, issuers: [{ ...CLUSTER, kubernetes, ...more }] });
    expect(found).toEqual([
      expect.stringMatching(`^issuers\\.0\\.${key}: ha(s|ve) no effect with \`use: workload\``),
    ]);
  });
});
