import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { ConfigSchema } from '../../src/config.ts';
import { type SchemaNode, configJsonSchema, loadConfig, settings } from '../../src/config/file.ts';
import { InputError } from '../../src/pdp/errors.ts';

const MINIMAL = 'grpc: { plaintext: true }\npolicies: { sets: [p] }\n';
const ISSUER = {
  name: 'corp',
  issuer: 'https://idp',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  jwks: { file: 'jwks.json' },
};
const CLUSTER = {
  ...ISSUER,
  name: 'cluster',
  use: 'workload',
  kubernetes: { trust_domain: 'cluster.local' },
};
const PIP = {
  name: 'directory',
  kind: 'static_file',
  subject: 'user',
  gives: ['groups'],
  file: 'facts.json',
};

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-config-'));
  file = join(folder, 'pdp.yaml');
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
});

async function load(yaml: string | object = MINIMAL, env: Readonly<Record<string, string>> = {}) {
  await writeFile(file, typeof yaml === 'string' ? yaml : JSON.stringify(yaml));
  return loadConfig(file, env);
}
async function refused(
  yaml: string | object,
  env?: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const error: unknown = await load(yaml, env).catch((thrown: unknown) => thrown);
  if (!(error instanceof InputError)) throw new Error(`not refused: ${String(error)}`);
  return error.problems.map(
    ({ where, message }) => `${where.replace(`${file}: `, '').replace(file, '')}: ${message}`,
  );
}
const base = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
const BUNDLE = { trust_domain: 't', file: 'b.pem' };
const ENDPOINT = { trust_domain: 'b', url: 'https://b.example/bundle', profile: 'https_web' };
const FILES = { source: 'files', cert_file: 'c', key_file: 'k', bundles: [BUNDLE] };
const mutual = (spiffe: object, grpc: object = {}) => ({
  policies: base.policies,
  spiffe: { ...FILES, ...spiffe },
  grpc,
});

describe('a file', () => {
  test('that says the least gives defaults', async () => {
    const { config, warnings } = await load();
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({
      demo: false,
      grpc: { address: '127.0.0.1:9191', plaintext: true },
      ops: { address: '127.0.0.1:8282' },
      decision: { faults_as_error: false },
      issuers: [],
      pips: [],
      audit: { durability: 'written', on_failure: 'deny' },
    });
  });

  test('is frozen once read, all the way down', async () => {
    const { config } = await load({ ...base, issuers: [ISSUER] });
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every(frozen));
    expect(frozen(config)).toBe(true);
  });

  test('has paths relative to itself', async () => {
    const { config } = await load({ ...base, audit: { dir: 'log' }, issuers: [ISSUER], pips: [PIP] });
    expect(config.policies.sets).toEqual([join(folder, 'p')]);
    expect(config.audit.dir).toBe(join(folder, 'log'));
    expect(config.issuers[0]?.jwks).toEqual({ file: join(folder, 'jwks.json') });
    expect(config.pips[0]).toMatchObject({ file: join(folder, 'facts.json') });
  });

  test('leaves absolute paths, and a path by default is relative to the working directory', async () => {
    const { config } = await load({ ...base, policies: { sets: ['/etc/p'] } });
    expect(config.policies.sets).toEqual(['/etc/p']);
    expect(config.audit.dir).toBe(resolve('.pdp/audit'));
  });

  test('that is not there is refused by name', () => {
    expect(() => loadConfig(join(folder, 'nowhere.yaml'), {})).toThrow(/cannot be read[^]*nowhere\.yaml/);
  });

  test.each([
    ['no YAML', 'grpc: [', /not YAML/],
    ['a repeated key', `${MINIMAL}grpc: {}\n`, /not YAML[^]*unique/],
    ['an unresolved alias', `${MINIMAL}audit: *gone\n`, /not YAML/],
    ['a list', '- a\n', /not valid/],
    ['text', 'hello\n', /not valid/],
    ['empty', '', /not valid/],
  ])('that is %s is refused as input', async (_what, text, message) => {
    const error: unknown = await load(text).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
  });

  test('that is no YAML is refused with line and column', async () => {
    await expect(load('grpc:\n  plaintext: "x\n')).rejects.toMatchObject({
      problems: [{ where: file, line: 3 }],
    });
  });
});

describe('problems', () => {
  test('are told all at once, each with its path', async () => {
    const problems = await refused(
      {
        grpc: { plaintext: true, address: 'nowhere', max_receive_bytes: 1 },
        policies: { sets: [] },
        issuers: [{ ...ISSUER, audiences: [], algorithms: ['none'] }, ISSUER],
        decision: { timeout_ms: 0 },
        audti: {},
      },
      { PDP_DEMO: 'maybe' },
    );
    const paths = problems.map((problem) => problem.split(':')[0]);
    expect(paths).toEqual(
      expect.arrayContaining([
        'PDP_DEMO',
        'grpc.address',
        'grpc.max_receive_bytes',
        'policies.sets',
        'issuers[0].audiences',
        'issuers[0].algorithms[0]',
        'decision.timeout_ms',
      ]),
    );
    expect(problems.join('\n')).toMatch(/unknown key 'audti'; did you mean 'audit'\?/);
  });

  test.each<[string, object, RegExp]>([
    ['at the top', { ...base, polices: {} }, /unknown key 'polices'; did you mean 'policies'\?/],
    ['in a group', { ...base, decision: { timeout: 5 } }, /^decision: unknown key 'timeout'/],
    [
      'in a group of a group',
      { ...base, decision: { cache: { max_byte: 5000 } } },
      /^decision\.cache: unknown key 'max_byte'; did you mean 'max_bytes'\?/,
    ],
    [
      'in a list',
      { ...base, issuers: [{ ...ISSUER, audience: 'x' }] },
      /^issuers\[0\]: unknown key 'audience'; did you mean 'audiences'\?/,
    ],
    [
      'in a list of several kinds',
      { ...base, pips: [{ ...PIP, give: ['x'] }] },
      /^pips\[0\]: unknown key 'give'; did you mean 'gives'\?/,
    ],
    ['far from anything', { ...base, zzzzzz: 1 }, /unknown key 'zzzzzz'$/],
  ])('of a misspelt key %s suggest the right one', async (_where, yaml, message) => {
    expect((await refused(yaml)).join('\n')).toMatch(message);
  });

  test.each<[string, object, RegExp]>([
    ['no policy sets', { grpc: { plaintext: true } }, /^policies/],
    ['no place of policies', { ...base, policies: {} }, /^policies: say where the policies are/],
    [
      'two places of policies',
      { ...base, policies: { sets: ['p'], bundle: { url: 'https://host/b' } } },
      /^policies: sets and bundle exclude each other/,
    ],
    [
      'no place of the candidate',
      { ...base, policies: { sets: ['p'], candidate: { sample: 0.5 } } },
      /^policies\.candidate: say where the policies are/,
    ],
    [
      'a signed folder for anybody to sign',
      { ...base, policies: { signed_dir: { dir: 'd', public_keys: [] } } },
      /^policies\.signed_dir\.public_keys: name at least one public key/,
    ],
    [
      'a bundle over plain HTTP',
      { ...base, policies: { bundle: { url: 'http://host/b' } } },
      /^policies\.bundle\.url: must be https/,
    ],
    [
      'two bundles in one cache',
      {
        ...base,
        policies: {
          bundle: { url: 'https://host/a', cache_file: 'c' },
          candidate: { bundle: { url: 'https://host/b', cache_file: 'c' } },
        },
      },
      /^policies\.candidate\.bundle\.cache_file: must differ/,
    ],
    [
      'a sample of more than everything',
      { ...base, policies: { sets: ['p'], candidate: { sets: ['q'], sample: 2 } } },
      /^policies\.candidate\.sample: /,
    ],
    [
      'facts about nothing that has a name',
      { ...base, pips: [{ ...PIP, subject: 'The User' }] },
      /^pips\[0\]\.subject/,
    ],
    [
      'neither an identity nor plaintext',
      { policies: base.policies },
      /^spiffe: is needed for mutual TLS on grpc/,
    ],
    [
      'an allow list in plaintext',
      { ...base, grpc: { plaintext: true, allow: ['spiffe://a/b'] } },
      /^grpc\.allow: has no effect in plaintext/,
    ],
    [
      'an allow list on the plaintext that loopback has by default',
      { ...base, ops: { allow: ['spiffe://a/b'] } },
      /^ops\.allow: has no effect in plaintext; for mutual TLS say `plaintext: false`/,
    ],
    [
      'a public ops address without a choice',
      { ...base, ops: { address: '0.0.0.0:8282' } },
      /^spiffe: is needed for mutual TLS on ops/,
    ],
    [
      'a public HTTP address without a choice',
      { ...base, http: { address: '10.0.0.1:8181' } },
      /^spiffe: is needed for mutual TLS on http/,
    ],
    [
      'a caller that is no SPIFFE ID',
      mutual({}, { allow: ['envoy'] }),
      /^grpc\.allow\[0\]: does not start with/,
    ],
    [
      'callers of any trust domain',
      mutual({}, { allow: ['spiffe://*'] }),
      /^grpc\.allow\[0\]: names no trust domain/,
    ],
    ['a connection age of nothing', mutual({}, { max_connection_age_s: 0 }), /^grpc\.max_connection_age_s/],
    ['an unknown source of identity', mutual({ source: 'magic' }), /^spiffe\.source/],
    [
      'files without a key',
      mutual({ key_file: undefined }),
      /^spiffe\.key_file: is needed for the source files/,
    ],
    ['files without bundles', mutual({ bundles: [] }), /^spiffe\.bundles: name at least one trust bundle/],
    [
      'files with an endpoint',
      mutual({ endpoint: 'unix:///run/x' }),
      /^spiffe\.endpoint: is not for the source files/,
    ],
    [
      'a Workload API with files',
      mutual({ source: 'workload_api' }),
      /^spiffe\.cert_file: is not for the source workload_api/,
    ],
    [
      'a Workload API at a relative path',
      { policies: base.policies, spiffe: { source: 'workload_api', endpoint: 'unix:run/x' } },
      /^spiffe\.endpoint: needs an absolute path/,
    ],
    [
      'two bundles of one trust domain',
      mutual({ bundles: [BUNDLE, BUNDLE] }),
      /^spiffe\.bundles\[1\]\.trust_domain: 't' is there already/,
    ],
    [
      'a trust domain that is none',
      mutual({ bundles: [{ ...BUNDLE, trust_domain: 'spiffe://t' }] }),
      /^spiffe\.bundles\[0\]\.trust_domain: must be a trust domain/,
    ],
    [
      'a trust domain with a path',
      mutual({ bundles: [{ ...BUNDLE, trust_domain: 'prod.example.com/ns' }] }),
      /^spiffe\.bundles\[0\]\.trust_domain: must be a trust domain.*without a path/,
    ],
    [
      'a federated trust domain with a path',
      mutual({ federation: [{ ...ENDPOINT, trust_domain: 'partner.example.org/x' }] }),
      /^spiffe\.federation\[0\]\.trust_domain: must be a trust domain.*without a path/,
    ],
    [
      'a bundle endpoint over http',
      mutual({ federation: [{ ...ENDPOINT, url: 'http://b.example/bundle' }] }),
      /^spiffe\.federation\[0\]\.url: is not https|^spiffe\.federation\[0\]\.url: /,
    ],
    [
      'a bundle endpoint with SPIFFE authentication and no SPIFFE ID',
      mutual({ federation: [{ ...ENDPOINT, profile: 'https_spiffe' }] }),
      /^spiffe\.federation\[0\]\.endpoint_spiffe_id: is needed/,
    ],
    [
      'a bundle endpoint with web authentication and a SPIFFE ID',
      mutual({ federation: [{ ...ENDPOINT, endpoint_spiffe_id: 'spiffe://b/x' }] }),
      /^spiffe\.federation\[0\]\.endpoint_spiffe_id: is not for the profile https_web/,
    ],
    [
      'a federated trust domain that has a bundle already',
      mutual({ federation: [ENDPOINT, { ...ENDPOINT, trust_domain: 't' }] }),
      /^spiffe\.federation\[1\]\.trust_domain: 't' has a file in spiffe\.bundles already: bundles are not merged/,
    ],
    [
      'a federated bundle that goes stale before it can be fetched again',
      mutual({ federation: [{ ...ENDPOINT, stale_ceiling_ms: 29_999 }] }),
      /^spiffe\.federation\[0\]\.stale_ceiling_ms/,
    ],
    [
      'a federated bundle that is trusted for weeks unseen',
      mutual({ federation: [{ ...ENDPOINT, stale_ceiling_ms: 604_800_001 }] }),
      /^spiffe\.federation\[0\]\.stale_ceiling_ms/,
    ],
    [
      'an issuer without audience',
      { ...base, issuers: [{ ...ISSUER, audiences: undefined }] },
      /^issuers\[0\]\.audiences/,
    ],
    [
      'an issuer with no audience',
      { ...base, issuers: [{ ...ISSUER, audiences: [] }] },
      /a token for anybody is a token for nobody/,
    ],
    [
      'an issuer with an empty audience',
      { ...base, issuers: [{ ...ISSUER, audiences: [''] }] },
      /^issuers\[0\]\.audiences\[0\]/,
    ],
    [
      'an issuer without algorithms',
      { ...base, issuers: [{ ...ISSUER, algorithms: [] }] },
      /name at least one algorithm/,
    ],
    [
      'a symmetric algorithm',
      { ...base, issuers: [{ ...ISSUER, algorithms: ['HS256'] }] },
      /^issuers\[0\]\.algorithms\[0\]/,
    ],
    [
      'an issuer without algorithms',
      { ...base, issuers: [{ ...ISSUER, algorithms: undefined }] },
      /^issuers\[0\]\.algorithms: is needed/,
    ],
    ['an unknown preset', { ...base, issuers: [{ ...ISSUER, preset: 'acme' }] }, /^issuers\[0\]\.preset/],
    [
      'a preset without what it needs to know',
      { ...base, issuers: [{ preset: 'okta', name: 'okta', audiences: ['a'], variables: { server: 's' } }] },
      /^issuers\[0\]\.variables: the preset needs 'domain'/,
    ],
    [
      'a preset without audiences',
      { ...base, issuers: [{ preset: 'google-iap', name: 'iap' }] },
      /^issuers\[0\]\.audiences/,
    ],
    [
      'variables without a preset',
      { ...base, issuers: [{ ...ISSUER, variables: { tenant: 't' } }] },
      /^issuers\[0\]\.variables: 'tenant' is not needed/,
    ],
    [
      'a key URL without the place for the id of the key',
      { ...base, issuers: [{ ...ISSUER, jwks: { pem_url: 'https://x/key' } }] },
      /^issuers\[0\]\.jwks/,
    ],
    [
      'an external origin for a host that is never seen in this form',
      { ...base, tokens: { dpop: { origins: { 'API.example.com': 'https://a' } } } },
      /^tokens\.dpop\.origins.*one form/,
    ],
    [
      'an external origin with a path',
      { ...base, tokens: { dpop: { origins: { a: 'https://a/b' } } } },
      /^tokens\.dpop\.origins/,
    ],
    ['an issuer without keys', { ...base, issuers: [{ ...ISSUER, jwks: undefined }] }, /^issuers\[0\]\.jwks/],
    [
      'an issuer with two sources of keys',
      { ...base, issuers: [{ ...ISSUER, jwks: { file: 'x', url: 'https://x' } }] },
      /^issuers\[0\]\.jwks/,
    ],
    [
      'an issuer name with a slash, which would run into the user',
      { ...base, issuers: [{ ...ISSUER, name: 'a/b' }] },
      /^issuers\[0\]\.name/,
    ],
    [
      'two issuers of one name',
      { ...base, issuers: [ISSUER, ISSUER] },
      /^issuers\[1\]\.name: 'corp' is taken already/,
    ],
    [
      'two information points of one name',
      { ...base, pips: [PIP, PIP] },
      /^pips\[1\]\.name: 'directory' is taken already/,
    ],
    [
      'an unknown kind of information point',
      { ...base, pips: [{ ...PIP, kind: 'ldap' }] },
      /^pips\[0\]\.kind/,
    ],
    ['a skew beyond reason', { ...base, issuers: [{ ...ISSUER, skew_s: 3600 }] }, /^issuers\[0\]\.skew_s/],
    ['a realm that would break its header', { ...base, decision: { realm: 'a"b' } }, /^decision\.realm/],
    [
      'demo mode on a public gRPC address',
      { ...base, demo: true, grpc: { plaintext: true, address: '0.0.0.0:9191' } },
      /^grpc\.address: must be a loopback address/,
    ],
    [
      'demo mode on a public ops address',
      { ...base, demo: true, ops: { address: '[::]:8282' } },
      /^ops\.address: must be a loopback address/,
    ],
    [
      'demo mode on a name that only begins like loopback',
      { ...base, demo: true, grpc: { plaintext: true, address: '127.evil.example:9191' } },
      /^grpc\.address: must be a loopback/,
    ],
    [
      'demo mode beside an issuer of that name',
      { ...base, demo: true, issuers: [{ ...ISSUER, name: 'demo' }] },
      /^issuers\[0\]\.name: 'demo' is taken already/,
    ],
    [
      'a password as a value',
      {
        ...base,
        pips: [
          { ...PIP, kind: 'redis', url: 'redis://x', key_prefix: 'p', file: undefined, password: 'secret' },
        ],
      },
      /unknown key 'password'/,
    ],
    ['null', { ...base, audit: null }, /^audit/],
  ])('%s is refused', async (_what, yaml, message) => {
    expect((await refused(yaml)).join('\n')).toMatch(message);
  });

  test('demo mode on loopback is not one', async () => {
    for (const address of ['127.0.0.1:0', 'localhost:9191', '[::1]:9191', '127.8.8.8:1']) {
      expect((await load({ ...base, demo: true, grpc: { plaintext: true, address } })).config.demo).toBe(
        true,
      );
    }
  });
});

describe('the environment', () => {
  /** A value other than the default that the schema takes, as text, and what it is read as. */
  function sample({ path, node }: { path: readonly string[]; node: SchemaNode }): [string, unknown] {
    const key = path.join('.');
    if (key.endsWith('.plaintext')) return ['true', true];
    if (key === 'issuers')
      return [JSON.stringify([ISSUER]), expect.arrayContaining([expect.objectContaining({ name: 'corp' })])];
    if (key === 'pips')
      return [
        JSON.stringify([PIP]),
        expect.arrayContaining([expect.objectContaining({ name: 'directory' })]),
      ];
    if (key === 'event_streams')
      return [
        '[{name: idp, issuer: "https://idp", audiences: [pdp], delivery: {kind: push}}]',
        [expect.objectContaining({ name: 'idp' })],
      ];
    if (key === 'audit.sinks')
      return ['[{name: out, kind: stdout}]', [expect.objectContaining({ name: 'out', kind: 'stdout' })]];
    if (key === 'check.callers')
      return [
        '[{allow: [spiffe://a/b]}]',
        [
          {
            allow: ['spiffe://a/b'],
            applications: [],
            subjects: [],
            resources: [],
            search: [],
            properties: [],
          },
        ],
      ];
    if (key === 'check.pips') return ['{A::B: [c]}', { 'A::B': ['c'] }];
    if (key === 'audit.privacy.pseudonymise') return ['[user, Clinic::Patient]', ['user', 'Clinic::Patient']];
    if (key === 'check.plaintext_callers.search') return ['[action]', ['action']];
    if (key === 'check.search.max_page') return ['77', 77];
    if (key.startsWith('check.plaintext_callers.'))
      return key.endsWith('.properties') ? ['[context.x]', ['context.x']] : ['[A::B]', ['A::B']];
    if (key === 'check.max_batch_items') return ['77', 77];
    if (key === 'onward_identity.ttl_s') return ['20', 20];
    if (key === 'onward_identity.user_claims') return ['[acr]', ['acr']];
    if (key === 'onward_identity.keys.publish_ahead_s') return ['60', 60];
    if (key === 'devices.max_posture_age_s_by_issuer') return ['{mdm: 60}', { mdm: 60 }];
    if (key === 'decision.upgrades') return ['[websocket]', ['websocket']];
    if (key === 'tokens.dpop.origins') return ['{a: https://a}', { a: 'https://a' }];
    if (key === 'tokens.dpop.algorithms') return ['[PS256]', ['PS256']];
    if (key === 'tokens.dpop.max_age_s' || key === 'tokens.dpop.skew_s') return ['30', 30];
    if (key === 'tokens.dpop.replay')
      return [
        '{kind: memory, max_entries: 7, max_per_key: 3}',
        { kind: 'memory', max_entries: 7, max_per_key: 3 },
      ];
    if (key === 'shared_state')
      return [
        '{kind: embedded, max_entries: 7, timeout_ms: 3}',
        { kind: 'embedded', max_entries: 7, timeout_ms: 3 },
      ];
    if (key === 'revocation.max_lag_ms') return ['3000', 3000];
    if (key === 'revocation.admins') return ['[spiffe://a/b]', ['spiffe://a/b']];
    if (key === 'grants.scopes')
      return [JSON.stringify([SCOPE]), [expect.objectContaining({ name: 'orders' })]];
    if (key.startsWith('grants.') && /user|day$/.test(key)) return ['7', 7];
    if (key === 'grants.keep_s') return ['99999', 99_999];
    if (key.endsWith('address')) return ['127.0.0.1:7', '127.0.0.1:7'];
    if (key.startsWith('workloads.') && node.type === 'array') return ['[spiffe://a/d]', ['spiffe://a/d']];
    if (key.endsWith('base_url')) return ['https://pdp.example.com', 'https://pdp.example.com'];
    if (key.endsWith('.applications')) return ['[idp/app]', ['idp/app']];
    if (key.endsWith('.allow')) return ['[spiffe://a/b]', ['spiffe://a/b']];
    if (key === 'spiffe.source') return ['files', 'files'];
    if (key === 'spiffe.bundles') return [JSON.stringify([BUNDLE]), [{ ...BUNDLE, file: resolve('b.pem') }]];
    if (key === 'spiffe.federation')
      return [JSON.stringify([ENDPOINT]), [{ ...ENDPOINT, stale_ceiling_ms: 3_600_000 }]];
    if (key === 'spiffe.endpoint') return ['unix:///run/x', 'unix:///run/x'];
    if (node.enum) return [String(node.enum.at(-1)), node.enum.at(-1)];
    if (node.type === 'boolean') return ['true', true];
    if (node.type === 'integer') return ['77777', 77_777];
    if (node.type === 'number') return ['0.25', 0.25];
    if (key.endsWith('.url')) return ['https://other/bundle', 'https://other/bundle'];
    if (node.type === 'array') return ['[some/where]', [resolve('some/where')]];
    return node.format === 'path' ? ['some/where', resolve('some/where')] : ['other', 'other'];
  }
  const KINDS = {
    signed_dir: { dir: 'd', public_keys: ['k'] },
    bundle: { url: 'https://host/bundle' },
  };

  const WORKLOADS: Readonly<Record<string, object>> = {
    xfcc: { from: ['spiffe://a/b'], trusted_hops: 2, proxies: ['spiffe://a/c'] },
    client_cert: { from: ['spiffe://a/b'] },
    jwt_svid: { audiences: ['pdp'] },
  };

  const SCOPE = {
    name: 'orders',
    max_s: 60,
    requesters: { groups: ['staff'] },
    approvers: { groups: ['leads'] },
  };

  /** A file in which the setting has its place, whatever else must then be there. */
  function fileFor([group, kind, inner]: readonly string[]): object {
    if (group === 'grants') return { ...base, issuers: [ISSUER], grants: { scopes: [SCOPE] } };
    if (kind === 'admins') return { ...mutual({}), ops: { plaintext: false } };
    if (kind === 'allow') return { ...mutual({}), [group ?? '']: { plaintext: false } };
    if (kind === 'callers' || (kind === 'explain' && inner === 'allow')) return mutual({});
    if (inner === 'applications')
      return { ...base, issuers: [{ ...ISSUER, name: 'idp', use: 'application' }] };
    if (group === 'check' && kind === 'pips') return { ...base, pips: [{ ...PIP, subject: 'c' }] };
    if (kind === 'max_posture_age_s_by_issuer')
      return { ...base, issuers: [{ ...ISSUER, name: 'mdm', use: 'device' }] };
    if (kind === 'kubernetes_token') return { ...mutual({}), issuers: [CLUSTER] };
    if (group === 'workloads' && kind !== undefined)
      return { ...mutual({}), workloads: { ...(WORKLOADS[kind] && { [kind]: WORKLOADS[kind] }) } };
    if (group === 'spiffe') {
      const fromFiles = kind !== 'endpoint' && kind !== 'hint';
      return fromFiles ? mutual({}) : { ...base, spiffe: { source: 'workload_api' } };
    }
    if (group === 'onward_identity') {
      const claims = { attributes: { acr: { claim: 'acr', type: 'string' } } };
      return { ...base, onward_identity: { issuer: 'https://pdp' }, issuers: [{ ...ISSUER, claims }] };
    }
    if (group !== 'policies') return base;
    const choice = (name: string | undefined): object =>
      name === 'signed_dir' || name === 'bundle' ? { [name]: KINDS[name] } : { sets: ['p'] };
    const policies = kind === 'candidate' ? { sets: ['p'], candidate: choice(inner) } : choice(kind);
    return { ...base, policies };
  }

  test.each(settings().map((setting) => [setting.env, setting] as const))(
    '%s sets its key',
    async (env, setting) => {
      const limits: Record<string, string> = {
        'decision.timeout_ms': '7777',
        'audit.segment_bytes': '99999',
        'audit.retention.max_bytes': '9999999',
        'audit.keys.epoch_hours': '48',
        'workloads.xfcc.trusted_hops': '3',
        workers: '3',
      };
      const [text, value] =
        limits[setting.path.join('.')] === undefined
          ? sample(setting)
          : [limits[setting.path.join('.')] ?? '', Number(limits[setting.path.join('.')])];
      const { config, warnings } = await load(fileFor(setting.path), { [env]: text });
      expect(warnings).toEqual([]);
      expect(setting.path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config)).toEqual(
        value,
      );
      expect(env).toBe(`PDP_${setting.path.join('_').toUpperCase()}`);
    },
  );

  test('names no two settings the same', () => {
    const names = settings().map(({ env }) => env);
    expect(new Set(names).size).toBe(names.length);
  });

  test('wins over the file, leaf by leaf', async () => {
    const { config } = await load(
      { ...base, audit: { log: 'file', durability: 'async' } },
      { PDP_AUDIT_LOG: 'env' },
    );
    expect(config.audit).toMatchObject({ log: 'env', durability: 'async' });
  });

  test('that is not enough without a file is told so', () => {
    expect(() => loadConfig(undefined, {})).toThrow(
      /^the configuration is not valid \(no configuration file: \.\/pdp\.yaml is not there; give --config\):\n/,
    );
  });

  test('is enough without a file', () => {
    const { config } = loadConfig(undefined, { PDP_GRPC_PLAINTEXT: 'true', PDP_POLICIES_SETS: '[p]' });
    expect(config.policies.sets).toEqual([resolve('p')]);
  });

  test.each([
    ['PDP_GRPC_PLAINTEXT', 'yes'],
    ['PDP_DECISION_TIMEOUT_MS', '5ms'],
    ['PDP_DECISION_TIMEOUT_MS', '1.5'],
    ['PDP_DECISION_TIMEOUT_MS', ''],
    ['PDP_POLICIES_SETS', '[a'],
    ['PDP_AUDIT_DURABILITY', 'maybe'],
    ['PDP_AUDIT_DIR', ''],
  ])('refuses %s=%s', async (env, text) => {
    expect(await refused(base, { [env]: text })).toHaveLength(1);
  });

  test('warns of names that are no setting, with the nearest one', async () => {
    const { warnings } = await load(base, {
      PDP_AUDIT_DRI: 'x',
      PDP_SERVICE_HOST: '10.0.0.1',
      PDP_CONFIG: 'x',
      PDP_TEST_ANY: 'x',
      OTHER: 'x',
    });
    expect(warnings).toEqual([
      "PDP_AUDIT_DRI is no setting; did you mean 'PDP_AUDIT_DIR'?",
      expect.stringMatching(/^PDP_SERVICE_HOST is no setting/),
    ]);
  });
});

test('the JSON Schema takes what the loader takes, and refuses unknown keys', () => {
  const schema = configJsonSchema();
  expect(schema['additionalProperties']).toBe(false);
  expect(schema.properties?.['policies']?.properties).toHaveProperty('sets');
  const objects = (node: SchemaNode): SchemaNode[] => [
    ...(node.properties ? [node] : []),
    ...Object.values(node.properties ?? {}).flatMap(objects),
    ...(node.items ? objects(node.items) : []),
    ...[...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap(objects),
  ];
  for (const node of objects(schema)) expect(node).toHaveProperty('additionalProperties', false);
});

test('every setting is described', () => {
  for (const { path, node } of settings())
    expect(`${path.join('.')}: ${node.description ?? ''}`).toMatch(/: .{5}/);
});

test.each([
  ['http://idp.example.com/keys', false],
  ['https://user:secret@idp.example.com/keys', false],
  ['ftp://idp.example.com/keys', false],
  ['https://idp.example.com/keys', true],
  ['http://127.0.0.1:8080/keys', true],
])('a key set URL is judged as the server will judge it: %s', (url, good) => {
  const issuer = { name: 'idp', issuer: 'i', audiences: ['a'], algorithms: ['ES256'], jwks: { url } };
  const config = { grpc: { plaintext: true }, policies: { sets: ['p'] }, issuers: [issuer] };
  expect(ConfigSchema.safeParse(config).success).toBe(good);
});
