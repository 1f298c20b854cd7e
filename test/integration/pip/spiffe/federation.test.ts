import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SvidSource, SvidState, TrustBundles } from '../../../../src/pdp/x509-svid.ts';
import { combineSvidSources } from '../../../../src/pip/spiffe/bundle/federation-combine.ts';
import type {
  BundleEndpoint,
  FederationTimes,
} from '../../../../src/pip/spiffe/bundle/federation-endpoint.ts';
import {
  type FederatedBundles,
  createFederatedBundles,
} from '../../../../src/pip/spiffe/bundle/federation.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { type TestCa, createTestCa } from '../../../support/test-ca.ts';
import { derOf } from '../../../support/workload-api-server.ts';
import { memoryLog } from '../../../unit/pip/fixture.ts';

const ENDPOINT = 'spiffe://b.test/ns/spire/sa/server';
const QUICK: Partial<FederationTimes> = { floorMs: 20, ceilingMs: 50, defaultMs: 30, retryMs: 20 };

let folder: string;
let a: TestCa;
let b: TestCa;
let c: TestCa;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-federation-'));
  [a, b, c] = (await Promise.all(['a.test', 'b.test', 'c.test'].map((name) => createTestCa(name)))) as [
    TestCa,
    TestCa,
    TestCa,
  ];
});
afterAll(async () => {
  await Promise.all([a, b, c].map((ca) => ca[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true, maxRetries: 20 });
});

/** A bundle endpoint over real TLS. `answer` is what it says; a test may replace it. */
interface Endpoint extends AsyncDisposable {
  readonly url: string;
  requests: number;
  answer: RequestListener;
}

async function startEndpoint(ca: TestCa, spiffeId = ENDPOINT): Promise<Endpoint> {
  const leaf = await ca.issue({ spiffeId, dns: ['localhost'] });
  const endpoint = { requests: 0, answer: says(bundleOf(b, { spiffe_sequence: 1 })) };
  const server = createServer({ cert: leaf.cert, key: leaf.key }, (request, response) => {
    endpoint.requests += 1;
    endpoint.answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(endpoint, {
    url: `https://localhost:${port}/bundle`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function says(text: string): RequestListener {
  return (_, response) => void response.end(text);
}

function bundleOf(ca: TestCa | undefined, members: object = {}): string {
  const keys = ca ? [x509Key(ca)] : [];
  return JSON.stringify({ ...members, keys });
}

function x509Key(ca: TestCa): object {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    ...publicKey.export({ format: 'jwk' }),
    use: 'x509-svid',
    x5c: [derOf(ca.bundle).toString('base64')],
  };
}

interface Rig extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly federated: FederatedBundles;
  readonly log: ReturnType<typeof memoryLog>;
}

interface RigOptions {
  readonly ca?: TestCa;
  readonly serverId?: string;
  readonly profile?: BundleEndpoint['profile'];
  readonly others?: () => TrustBundles;
  readonly times?: Partial<FederationTimes>;
  readonly staleMs?: number;
  readonly path?: string;
}

/** An endpoint of b.test, and federated bundles that follow it but are not started. */
async function rig(options: RigOptions = {}): Promise<Rig> {
  const endpoint = await startEndpoint(options.ca ?? b, options.serverId);
  const log = memoryLog();
  const profile = options.profile ?? { kind: 'https_spiffe', spiffeId: ENDPOINT, bundleFile: b.bundleFile };
  const federated = createFederatedBundles({
    bundles: [
      {
        trustDomain: 'b.test',
        url: endpoint.url,
        profile,
        ...(options.staleMs !== undefined && { staleMs: options.staleMs }),
      },
    ],
    clock: MACHINE_CLOCK,
    log,
    times: { ...QUICK, ...options.times },
    ...(options.others && { others: options.others }),
  });
  return {
    endpoint,
    federated,
    log,
    async [Symbol.asyncDispose]() {
      await federated[Symbol.asyncDispose]();
      await endpoint[Symbol.asyncDispose]();
    },
  };
}

function held({ bundles }: FederatedBundles): readonly string[] | undefined {
  return bundles.get('b.test')?.x509Authorities.map(String);
}

function until(what: string, isSo: () => boolean): Promise<true> {
  return eventually(what, () => (isSo() ? true : undefined));
}

function logged(at: Rig, words: string): Promise<true> {
  return until(`the log says '${words}'`, () => at.log.text().includes(words));
}

describe('federated bundles', () => {
  test('come from an https_spiffe endpoint whose server has the configured SPIFFE ID', async () => {
    await using at = await rig();
    await at.federated.start();
    expect([...at.federated.bundles.keys()]).toEqual(['b.test']);
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('come from an https_web endpoint whose certificate the configured CAs vouch for', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    await at.federated.start();
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('are asked for with nothing that tells who asks', async () => {
    await using at = await rig();
    let headers: readonly string[] = [];
    at.endpoint.answer = (request, response) => {
      headers = Object.keys(request.headers).sort();
      response.end(bundleOf(b));
    };
    await at.federated.start();
    expect(headers).toEqual(['accept', 'connection', 'host']);
  });

  test('are those of the configured trust domain, whatever the certificates in them say', async () => {
    await using at = await rig();
    at.endpoint.answer = says(bundleOf(c));
    await at.federated.start();
    expect([...at.federated.bundles.keys()]).toEqual(['b.test']);
    expect(at.federated.bundles.get('b.test')?.trustDomain).toBe('b.test');
  });

  describe('are not taken, and nothing is asked, where the server', () => {
    const cases: [string, () => RigOptions, string][] = [
      [
        'is of the right trust domain but another workload',
        () => ({ serverId: 'spiffe://b.test/ns/spire/sa/other' }),
        'not the configured',
      ],
      ['has the ID from the CA of another trust domain', () => ({ ca: c }), 'could not be asked'],
      [
        'is of another trust domain than the bundle at hand is of',
        () => ({
          ca: c,
          serverId: 'spiffe://c.test/server',
          profile: { kind: 'https_spiffe', spiffeId: ENDPOINT, bundleFile: c.bundleFile },
        }),
        'no bundle is held for the trust domain',
      ],
      [
        'cannot be verified for want of a first bundle',
        () => ({ profile: { kind: 'https_spiffe', spiffeId: ENDPOINT } }),
        'no bundle of b.test is at hand',
      ],
      [
        'cannot be verified for the first bundle does not exist',
        () => ({ profile: { kind: 'https_spiffe', spiffeId: ENDPOINT, bundleFile: '/nonexistent/bundle' } }),
        'does not exist',
      ],
      [
        'cannot be verified for the CA file does not exist',
        () => ({ profile: { kind: 'https_web', caFile: '/nonexistent/ca.pem' } }),
        'does not exist',
      ],
      ['is not known to web PKI', () => ({ profile: { kind: 'https_web' } }), 'could not be asked'],
      [
        'is known to another CA than the configured one',
        () => ({ profile: { kind: 'https_web', caFile: a.bundleFile } }),
        'could not be asked',
      ],
    ];
    test.each(cases)('%s', async (_, options, problem) => {
      await using at = await rig(options());
      await at.federated.start();
      expect(at.federated.bundles.size).toBe(0);
      expect(at.endpoint.requests).toBe(0);
      expect(at.log.text()).toContain(problem);
    });
  });

  test('are not taken from an https_web server with the certificate of another host', async () => {
    await using endpoint = await startEndpoint(b);
    const log = memoryLog();
    const url = endpoint.url.replace('localhost', '127.0.0.1');
    const profile = { kind: 'https_web', caFile: b.bundleFile } as const;
    const bundles = [{ trustDomain: 'b.test', url, profile }];
    await using federated = createFederatedBundles({ bundles, clock: MACHINE_CLOCK, log, times: QUICK });
    await federated.start();
    expect(federated.bundles.size).toBe(0);
    expect(endpoint.requests).toBe(0);
    expect(log.text()).toContain("does not match certificate's altnames");
  });

  test('come from an https_spiffe server of whatever host name: its SPIFFE ID is what counts', async () => {
    await using endpoint = await startEndpoint(b);
    const url = endpoint.url.replace('localhost', '127.0.0.1');
    const profile = { kind: 'https_spiffe', spiffeId: ENDPOINT, bundleFile: b.bundleFile } as const;
    const bundles = [{ trustDomain: 'b.test', url, profile }];
    await using federated = createFederatedBundles({
      bundles,
      clock: MACHINE_CLOCK,
      log: memoryLog(),
      times: QUICK,
    });
    await federated.start();
    expect(held(federated)).toEqual([b.bundle]);
  });

  test('verify a server by a chain with an intermediate CA', async () => {
    await using at = await rig({ ca: b.issueAuthority() });
    await at.federated.start();
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('verify a server of another trust domain by the bundle that is held of it', async () => {
    const source = new Map([
      ['c.test', { trustDomain: 'c.test', x509Authorities: [certificateOf(c)], jwtAuthorities: [] }],
    ]);
    const spiffeId = 'spiffe://c.test/bundles';
    await using at = await rig({
      ca: c,
      serverId: spiffeId,
      profile: { kind: 'https_spiffe', spiffeId },
      others: () => source,
    });
    await at.federated.start();
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('verify the server by what was fetched last, not by the first bundle any more', async () => {
    await using at = await rig();
    at.endpoint.answer = says(bundleOf(c, { spiffe_sequence: 2 }));
    await at.federated.start();
    expect(held(at.federated)).toEqual([c.bundle]);
    const asked = at.endpoint.requests;
    await logged(at, 'could not be refreshed');
    expect(at.endpoint.requests).toBe(asked);
  });

  test('change when the endpoint has a newer bundle, and tell their listeners', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    await at.federated.start();
    let told = 0;
    at.federated.onChange(() => (told += 1));
    at.endpoint.answer = says(bundleOf(c, { spiffe_sequence: 2 }));
    await until('the newer bundle', () => held(at.federated)?.[0] === c.bundle);
    expect(told).toBe(1);
  });

  test('refuse a sequence that goes back, and keep the newer bundle', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 7 }));
    await at.federated.start();
    at.endpoint.answer = says(bundleOf(c, { spiffe_sequence: 6 }));
    await logged(at, 'spiffe_sequence went back from 7 to 6');
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('tell sequences apart that a double cannot', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    const numbered = (ca: TestCa, sequence: bigint) =>
      says(
        bundleOf(ca, { spiffe_sequence: 0 }).replace('"spiffe_sequence":0', `"spiffe_sequence":${sequence}`),
      );
    at.endpoint.answer = numbered(b, 2n ** 60n + 1n);
    await at.federated.start();
    at.endpoint.answer = numbered(c, 2n ** 60n);
    await logged(at, 'went back');
    expect(held(at.federated)).toEqual([b.bundle]);
    at.endpoint.answer = numbered(c, 2n ** 60n + 2n);
    await until('the newer bundle', () => held(at.federated)?.[0] === c.bundle);
  });

  test('do not forget the highest sequence when a bundle has none', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 7 }));
    await at.federated.start();
    at.endpoint.answer = says(bundleOf(c));
    await until('the bundle without a sequence', () => held(at.federated)?.[0] === c.bundle);
    at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 6 }));
    await logged(at, 'went back from 7 to 6');
    expect(held(at.federated)).toEqual([c.bundle]);
  });

  test('take the same sequence for a confirmation of what is held', async () => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    await at.federated.start();
    at.endpoint.answer = says(bundleOf(c, { spiffe_sequence: 1 }));
    const asked = at.endpoint.requests;
    await until('two more answers', () => at.endpoint.requests > asked + 2);
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test.each([
    ['with a higher sequence', { spiffe_sequence: 2 }],
    ['with the same sequence', { spiffe_sequence: 1 }],
    ['without a sequence', {}],
  ])('an empty bundle %s revokes everything at once', async (_, members) => {
    await using at = await rig({ ca: c, profile: { kind: 'https_web', caFile: c.bundleFile } });
    await at.federated.start();
    at.endpoint.answer = says(bundleOf(undefined, members));
    await until('the bundle is empty', () => held(at.federated)?.length === 0);
    expect(at.log.text()).toContain('revoked everything');
  });

  test('an https_spiffe server is not taken at its word again after its trust domain has revoked everything', async () => {
    await using at = await rig();
    at.endpoint.answer = says(bundleOf(undefined, { spiffe_sequence: 2 }));
    await at.federated.start();
    const asked = at.endpoint.requests;
    at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 3 }));
    await logged(at, 'trusts nobody any more');
    expect(held(at.federated)).toEqual([]);
    expect(at.endpoint.requests).toBe(asked);
  });

  describe('keep the last good bundle when the endpoint', () => {
    const answers: [string, () => RequestListener, string][] = [
      [
        'redirects',
        () => (_, response) => void response.writeHead(302, { location: 'https://localhost/' }).end(),
        'redirects are not followed',
      ],
      ['fails', () => (_, response) => void response.writeHead(500).end(), 'status 500'],
      ['says too much', () => says(' '.repeat(1_100_000)), 'more than 1048576 bytes'],
      ['repeats a key', () => says('{"keys":[],"keys":[]}'), 'twice'],
      ['does not say JSON', () => says('<html>'), 'not JSON'],
      ['does not say UTF-8', () => (_, response) => void response.end(Buffer.of(0xff, 0xfe)), 'not valid'],
      [
        'breaks off',
        () => (_, response) => {
          response.writeHead(200, { 'content-length': 100 });
          response.write('{"keys"');
          setImmediate(() => response.destroy());
        },
        'could not be',
      ],
      ['hangs up', () => (request) => void request.socket.destroy(), 'could not be asked'],
      ['publishes a private key', () => says('{"keys":[{"kty":"EC","use":"jwt-svid","d":"x"}]}'), 'private'],
    ];
    test.each(answers)('%s', async (_, answer, problem) => {
      await using at = await rig();
      await at.federated.start();
      at.endpoint.answer = answer();
      await logged(at, 'could not be refreshed');
      expect(at.log.text()).toContain(problem);
      expect(held(at.federated)).toEqual([b.bundle]);
      at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 2, spiffe_refresh_hint: 1 }));
      const failed = at.endpoint.requests;
      await until('it is asked again', () => at.endpoint.requests > failed);
    });

    test('does not answer in time', async () => {
      await using at = await rig({ times: { timeoutMs: 700 } });
      await at.federated.start();
      at.endpoint.answer = () => undefined;
      await logged(at, 'did not answer within 700 ms');
      expect(held(at.federated)).toEqual([b.bundle]);
    });
  });

  test('are not trusted any more once their last confirmation is too old, and trusted again with the next', async () => {
    await using at = await rig({ times: { staleMs: 200 } });
    await at.federated.start();
    let told = 0;
    at.federated.onChange(() => (told += 1));
    at.endpoint.answer = (_, response) => void response.writeHead(503).end();
    await until('the bundle is too old', () => !at.federated.bundles.has('b.test'));
    expect(told).toBe(1);
    expect(at.log.text()).toContain('not confirmed for too long');
    at.endpoint.answer = says(bundleOf(b, { spiffe_sequence: 1 }));
    await until('the bundle is back', () => at.federated.bundles.has('b.test'));
  });

  test('have a ceiling of their own where an endpoint is given one', async () => {
    await using at = await rig({ staleMs: 200 });
    await at.federated.start();
    at.endpoint.answer = (_, response) => void response.writeHead(503).end();
    await until('the bundle is too old', () => !at.federated.bundles.has('b.test'));
    expect(at.log.text()).toContain('not confirmed for too long');
  });

  test('stay trusted while the endpoint confirms them', async () => {
    await using at = await rig({ times: { staleMs: 1_000 } });
    await at.federated.start();
    let told = 0;
    at.federated.onChange(() => (told += 1));
    const end = performance.now() + 1_800;
    await until('the ceiling is long past', () => performance.now() > end);
    expect(told).toBe(0);
    expect(held(at.federated)).toEqual([b.bundle]);
  });

  test('are asked for as often as their refresh hint says, within bounds', async () => {
    await using at = await rig({ times: { floorMs: 20, ceilingMs: 600_000, defaultMs: 20 } });
    at.endpoint.answer = says(bundleOf(b, { spiffe_refresh_hint: 60 }));
    await at.federated.start();
    const end = performance.now() + 200;
    await until('many default intervals are past', () => performance.now() > end);
    expect(at.endpoint.requests).toBe(1);
  });

  test('are not asked for more often than the floor, whatever the hint says', async () => {
    await using at = await rig({ times: { floorMs: 60_000, ceilingMs: 600_000 } });
    at.endpoint.answer = says(bundleOf(b, { spiffe_refresh_hint: 0 }));
    await at.federated.start();
    const end = performance.now() + 150;
    await until('a while is past', () => performance.now() > end);
    expect(at.endpoint.requests).toBe(1);
  });

  test('are not asked for any more after they were disposed of', async () => {
    await using at = await rig();
    await at.federated.start();
    await at.federated[Symbol.asyncDispose]();
    const asked = at.endpoint.requests;
    const end = performance.now() + 150;
    await until('a while is past', () => performance.now() > end);
    expect(at.endpoint.requests).toBe(asked);
  });

  test('of one trust domain are never used for another', async () => {
    await using endpointOfB = await startEndpoint(b);
    await using endpointOfC = await startEndpoint(c, 'spiffe://c.test/server');
    endpointOfC.answer = says(bundleOf(c));
    await using federated = createFederatedBundles({
      bundles: [
        {
          trustDomain: 'b.test',
          url: endpointOfB.url,
          profile: { kind: 'https_spiffe', spiffeId: ENDPOINT, bundleFile: b.bundleFile },
        },
        {
          trustDomain: 'c.test',
          url: endpointOfC.url,
          profile: { kind: 'https_spiffe', spiffeId: 'spiffe://c.test/server', bundleFile: c.bundleFile },
        },
      ],
      clock: MACHINE_CLOCK,
      log: memoryLog(),
      times: QUICK,
    });
    await federated.start();
    expect(held(federated)).toEqual([b.bundle]);
    expect(federated.bundles.get('c.test')?.x509Authorities.map(String)).toEqual([c.bundle]);
  });

  test.each([
    ['plain http', 'http://bundles.example.com/', 'is not https'],
    ['plain http on loopback', 'http://localhost/', 'is not https'],
    ['credentials', 'https://user:secret@bundles.example.com/', 'holds credentials'],
    ['no URL', 'bundles', 'is not a URL'],
  ])('refuse a URL with %s', (_, url, problem) => {
    const bundles = [{ trustDomain: 'b.test', url, profile: { kind: 'https_web' } as const }];
    const make = () => createFederatedBundles({ bundles, clock: MACHINE_CLOCK, log: memoryLog() });
    expect(make).toThrow(problem);
    expect(make).not.toThrow('secret');
  });

  test('refuse names that are none and two endpoints for one trust domain, all at once', () => {
    const url = 'https://bundles.example.com/';
    const bundles: BundleEndpoint[] = [
      { trustDomain: 'b.test', url, profile: { kind: 'https_web' } },
      { trustDomain: 'b.test', url, profile: { kind: 'https_web' } },
      { trustDomain: 'B.TEST', url, profile: { kind: 'https_spiffe', spiffeId: 'spiffe://b.test' } },
    ];
    const make = () => createFederatedBundles({ bundles, clock: MACHINE_CLOCK, log: memoryLog() });
    expect(make).toThrow('two endpoints');
    expect(make).toThrow('character outside');
    expect(make).toThrow('has no path');
  });
});

describe('an SVID source combined with federated bundles', () => {
  test('has the bundles of both, and those of the source where both have the trust domain', async () => {
    await using at = await rig();
    const own = { trustDomain: 'a.test', x509Authorities: [certificateOf(a)], jwtAuthorities: [] };
    const ours = { trustDomain: 'b.test', x509Authorities: [certificateOf(c)], jwtAuthorities: [] };
    const source = sourceOf({ bundles: new Map([['a.test', own]]) });
    const log = memoryLog();
    await using combined = combineSvidSources(source, at.federated, log, ['a.test']);
    let told = 0;
    combined.onChange(() => {
      throw new Error('listener');
    });
    combined.onChange(() => (told += 1));
    await combined.start();
    expect([...combined.state.bundles.keys()].sort()).toEqual(['a.test', 'b.test']);
    expect(combined.state.bundles.get('b.test')?.x509Authorities.map(String)).toEqual([b.bundle]);
    source.become({
      bundles: new Map([
        ['a.test', own],
        ['b.test', ours],
      ]),
    });
    expect(combined.state.bundles.get('b.test')).toBe(ours);
    expect(told).toBe(2);
    expect(log.text()).toContain('is not used');
  });

  test('has an SVID only while the source has one', async () => {
    await using at = await rig();
    const svid = {
      identity: { id: 'spiffe://a.test/x', trustDomain: 'a.test', path: '/x' },
      certificateChain: '',
      privateKey: '',
      notBefore: 0,
      notAfter: 1,
    };
    const source = sourceOf({ svid, bundles: new Map() });
    await using combined = combineSvidSources(source, at.federated, memoryLog());
    expect(combined.state.svid).toBe(svid);
    source.become({ bundles: new Map() });
    expect('svid' in combined.state).toBe(false);
  });
});

describe('a federated bundle of our own trust domain', () => {
  const theirs = { trustDomain: 'b.test', x509Authorities: [], jwtAuthorities: [] };
  const svidIn = (trustDomain: string) => ({
    identity: { id: `spiffe://${trustDomain}/x`, trustDomain, path: '/x' },
    certificateChain: '',
    privateKey: '',
    notBefore: 0,
    notAfter: 1,
  });

  test('is not used before the source has its first bundle, where the trust domain is configured as ours', async () => {
    await using at = await rig();
    const log = memoryLog();
    await using combined = combineSvidSources(sourceOf({ bundles: new Map() }), at.federated, log, [
      'b.test',
    ]);
    await combined.start();
    expect([...combined.state.bundles.keys()]).toEqual([]);
    expect(log.text()).toContain('our own source has the trust domain');
  });

  test('is not used, nor is any other, while it is not known which trust domain is ours', async () => {
    await using at = await rig();
    const source = sourceOf({ bundles: new Map() });
    await using combined = combineSvidSources(source, at.federated, memoryLog());
    await combined.start();
    expect(combined.state.bundles.size).toBe(0);
    source.become({ svid: svidIn('a.test'), bundles: new Map() });
    expect([...combined.state.bundles.keys()]).toEqual(['b.test']);
  });

  test('is not used after our SVID and our bundle have been withdrawn', async () => {
    await using at = await rig();
    const source = sourceOf({ svid: svidIn('b.test'), bundles: new Map([['b.test', theirs]]) });
    await using combined = combineSvidSources(source, at.federated, memoryLog());
    await combined.start();
    expect(combined.state.bundles.get('b.test')).toBe(theirs);
    source.become({ bundles: new Map() });
    expect([...combined.state.bundles.keys()]).toEqual([]);
    expect(combined.health.bundles).toEqual([]);
  });
});

describe('the health of federated bundles', () => {
  test('says when each was confirmed, and why the last answer of its endpoint is not taken', async () => {
    await using at = await rig();
    expect(at.federated.health).toEqual([
      { trustDomain: 'b.test', problem: 'its endpoint has not answered yet' },
    ]);
    const before = Date.now();
    await at.federated.start();
    const [health] = at.federated.health;
    expect(health).toEqual({ trustDomain: 'b.test', confirmedAt: expect.any(Number) as number });
    expect(health?.confirmedAt).toBeGreaterThanOrEqual(before);
    at.endpoint.answer = says('no JSON');
    await until(
      'the refusal is known',
      () => at.federated.health[0]?.problem?.startsWith('the bundle') === true,
    );
    expect(held(at.federated)).toEqual([b.bundle]);
  });
});

interface SettableSource extends SvidSource {
  become(state: SvidState): void;
}

function sourceOf(first: SvidState): SettableSource {
  const listeners = new Set<() => void>();
  let state = first;
  return {
    get state() {
      return state;
    },
    health: { refused: 0, bundles: [] },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    start: async () => undefined,
    become(next) {
      state = next;
      for (const listener of listeners) listener();
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function certificateOf(ca: TestCa) {
  return new X509Certificate(ca.bundle);
}
