import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dryRun } from '../../../src/compose/dry-run.ts';
import { ConfigSchema } from '../../../src/config.ts';
import { createConfigFolder, runPdp } from '../../support/app.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';

const PDP = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';
const stack = new AsyncDisposableStack();
let folder: string;
let ca: TestCa;
let partner: TestCa;
let leaf: Leaf;
let other: Leaf;
let late: Leaf;

const inFolder = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-dry-run-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  ca = stack.use(await createTestCa('prod.example.com'));
  partner = stack.use(await createTestCa('partner.example.org'));
  leaf = await ca.issue({ spiffeId: PDP });
  other = await ca.issue({ spiffeId: PDP });
  late = await ca.issue({ spiffeId: PDP, lifetimeMs: -60_000 });
  await mkdir(inFolder('keys'));
  await writeFile(inFolder('keys/bad.pem'), 'garbage');
  await writeFile(inFolder('short'), 'short');
  await writeFile(inFolder('token'), 'x'.repeat(32));
  await writeFile(inFolder('shut-off.yaml'), '- {kind: device, id: mdm/a, reason: x}\n');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  await writeFile(inFolder('rsa.pem'), rsa.export({ type: 'spki', format: 'pem' }));
});
afterAll(() => stack.disposeAsync());

const files = (changes: object = {}): object => ({
  source: 'files',
  cert_file: leaf.certFile,
  key_file: leaf.keyFile,
  bundles: [{ trust_domain: 'prod.example.com', file: ca.bundleFile }],
  ...changes,
});

/** The problems of a configuration, `where: message`. */
async function problemsOf(parts: object, environment = {}): Promise<readonly string[]> {
  const base = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
  const config = ConfigSchema.parse({ ...base, ...parts });
  const problems = await dryRun(config, { clock: MACHINE_CLOCK, environment });
  return problems.map(({ where, message }) => `${where}: ${message}`);
}

describe('a dry run', () => {
  test('finds nothing where all that serving needs is there', async () => {
    const parts = {
      spiffe: files(),
      ops: { admin_token_file: inFolder('token') },
      onward_identity: { issuer: 'x' },
      revocation: { admin_token_file: inFolder('token'), file: inFolder('shut-off.yaml') },
    };
    expect(await problemsOf(parts)).toEqual([]);
    expect(await problemsOf({})).toEqual([]);
  });

  const bundle = (trustDomain: string, file: () => string) => ({
    bundles: [{ trust_domain: trustDomain, file: file() }],
  });

  test.each<[string, () => object, RegExp]>([
    [
      'a certificate that is not there',
      () => ({ cert_file: inFolder('no') }),
      /^spiffe\.cert_file: the file does not exist$/,
    ],
    [
      'a key that is not there',
      () => ({ key_file: inFolder('no') }),
      /^spiffe\.key_file: the file does not exist$/,
    ],
    [
      'the key of another certificate',
      () => ({ key_file: other.keyFile }),
      /^spiffe\.cert_file: .*does not belong/,
    ],
    [
      'an SVID that has expired',
      () => ({ cert_file: late.certFile, key_file: late.keyFile }),
      /^spiffe\.cert_file: .*expired/,
    ],
    [
      'the bundle of another CA',
      () => bundle('prod.example.com', () => partner.bundleFile),
      /^spiffe\.cert_file: .*the chain ends/,
    ],
    [
      'no bundle of its trust domain',
      () => bundle('partner.example.org', () => partner.bundleFile),
      /^spiffe\.cert_file: .*prod\.example\.com/,
    ],
  ])('tells of %s', async (_what, changes, problem) => {
    expect(await problemsOf({ spiffe: files(changes()) })).toEqual([expect.stringMatching(problem)]);
  });

  test('tells of a token for revocations that is none, and of a file of shut-offs that is not right', async () => {
    const short = { admin_token_file: inFolder('short'), file: inFolder('short') };
    expect(await problemsOf({ revocation: short })).toEqual([
      expect.stringMatching(/^revocation\.admin_token_file: .*fewer than 32/),
      expect.stringMatching(/^revocation\.file: .*not a list/),
    ]);
    expect(await problemsOf({ revocation: { file: inFolder('no') } })).toEqual([
      'revocation.file: the file does not exist',
    ]);
  });

  test('tells of keys and secrets of the decision log that cannot be used, and of a folder that cannot be', async () => {
    const keys = { identity_file: inFolder('keys/bad.pem') };
    const sinks = [
      { name: 'a', kind: 'http', url: 'https://siem.example.com/', token_file: inFolder('no') },
      { name: 'b', kind: 'http', url: 'https://siem.example.com/', token_file: inFolder('token') },
    ];
    const audit = { dir: inFolder('short/audit'), keys, sinks, privacy: { key_file: inFolder('short') } };
    expect(await problemsOf({ audit })).toEqual([
      expect.stringMatching(/^audit\.dir: .*short cannot be written to by this user \(EACCES/),
      expect.stringMatching(/^audit\.keys\.identity_file: .*bad\.pem: /),
      expect.stringMatching(/^audit\.privacy\.key_file: .*short: /),
      expect.stringMatching(/^audit\.sinks\[0\]\.token_file: .*no: the file does not exist$/),
    ]);
  });

  test('takes a decision log of which nothing is there yet: the first start makes it', async () => {
    const privacy = { key_file: inFolder('not/yet.key') };
    expect(await problemsOf({ audit: { dir: inFolder('not/yet'), privacy } })).toEqual([]);
  });

  test('tells of a bundle that is none, and of those of bundle endpoints', async () => {
    const federation = [
      {
        trust_domain: 'partner.example.org',
        url: 'https://partner.example.org/bundle',
        profile: 'https_spiffe',
        endpoint_spiffe_id: 'spiffe://partner.example.org/server',
        bundle_file: inFolder('short'),
      },
      {
        trust_domain: 'third.example',
        url: 'https://third.example/b',
        profile: 'https_web',
        ca_file: inFolder('no'),
      },
    ];
    const bundles = [
      { trust_domain: 'prod.example.com', file: ca.bundleFile },
      { trust_domain: 'b.example', file: inFolder('short') },
    ];
    expect(await problemsOf({ spiffe: files({ bundles, federation }) })).toEqual([
      expect.stringMatching(/^spiffe\.bundles\[1\]\.file: the bundle /),
      expect.stringMatching(/^spiffe\.federation\[0\]\.bundle_file: the bundle /),
      'spiffe.federation[1].ca_file: the file does not exist',
    ]);
  });

  test('tells of the facts, lists and credentials without which information points would not open', async () => {
    await writeFile(inFolder('lists.txt'), '192.0.2.1\nnonsense\n');
    await writeFile(inFolder('facts.json'), '{"staff/a": 1}');
    const common = { subject: 'user', gives: ['level'] };
    const pips = [
      { ...common, kind: 'static_file', name: 'a', file: inFolder('facts.json') },
      { ...common, kind: 'static_file', name: 'b', file: inFolder('none.json') },
      {
        ...common,
        kind: 'http',
        name: 'c',
        url: 'https://hr.example.com/{id}',
        token_file: inFolder('none'),
        ca_file: inFolder('short'),
      },
      {
        ...common,
        kind: 'scim',
        name: 'd',
        url: 'https://d.example',
        issuer: 'x',
        token_file: inFolder('token'),
      },
      {
        kind: 'threat_intel',
        name: 'e',
        subject: 'ip',
        lists: [
          { name: 'f', file: inFolder('lists.txt') },
          { name: 'g', url: 'https://feeds.example.com/g' },
        ],
      },
    ];
    expect(await problemsOf({ pips })).toEqual([
      `pips[0]: ${inFolder('facts.json')}: 'staff/a' is not an object`,
      `pips[1]: ${inFolder('none.json')}: the file does not exist`,
      `pips[2]: ${inFolder('none')}: the file does not exist`,
      expect.stringMatching(/^pips\[4\]: .*lists\.txt:2: .*nonsense/),
    ]);
  });

  test('tells of a Workload API whose address nobody says', async () => {
    const spiffe = { source: 'workload_api' };
    expect(await problemsOf({ spiffe })).toEqual([
      'spiffe.endpoint: SPIFFE_ENDPOINT_SOCKET: is not set, and no endpoint is configured',
    ]);
    expect(await problemsOf({ spiffe }, { SPIFFE_ENDPOINT_SOCKET: 'unix:///run/api.sock' })).toEqual([]);
  });

  test('tells of tokens, keys and passwords that cannot be read', async () => {
    const redis = { kind: 'redis', url: 'redis://127.0.0.1:1', password_file: inFolder('no') };
    const problems = await problemsOf({
      ops: { admin_token_file: inFolder('short') },
      onward_identity: { issuer: 'https://pdp.example.com', keys: { dir: inFolder('keys') } },
      tokens: { dpop: { replay: redis } },
      pips: [{ ...redis, name: 'facts', subject: 'user', gives: ['x'], key_prefix: 'x:' }],
      policies: { signed_dir: { dir: 'p', public_keys: [inFolder('no'), inFolder('rsa.pem')] } },
    });
    expect(problems).toEqual([
      expect.stringMatching(/^ops\.admin_token_file: .*fewer than 32 characters$/),
      'onward_identity.keys.dir: the folder of signing keys holds no usable key for EdDSA',
      expect.stringMatching(/^onward_identity\.keys\.dir: .*bad\.pem holds no unencrypted/),
      'tokens.dpop.replay.password_file: the file does not exist',
      'pips[0].password_file: the file does not exist',
      expect.stringMatching(/^policies\.signed_dir\.public_keys\[0\]: .*ENOENT/),
      expect.stringMatching(/^policies\.signed_dir\.public_keys\[1\]: .*a key of type rsa/),
    ]);
  });
});

test('config check says what would keep a valid configuration from serving, and exits with 1', async () => {
  await using config = await createConfigFolder({ spiffe: files({ key_file: other.keyFile }) });
  const { code, out, err } = await runPdp('config', 'check', '--config', config.configFile);
  expect({ code, out }).toEqual({ code: 1, out: 'the configuration is valid\n' });
  expect(err).toMatch(/^would not serve now: spiffe\.cert_file: the private key does not belong/);
});
