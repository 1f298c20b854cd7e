import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SvidSource } from '../../../../src/pdp/x509-svid.ts';
import {
  type WorkloadApiSourceOptions,
  createWorkloadApiSource,
} from '../../../../src/pip/spiffe/workload-api/workload-api.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { type TestCa, createTestCa } from '../../../support/test-ca.ts';
import {
  type WorkloadApiServer,
  derOf,
  startWorkloadApi,
  svidMessage,
} from '../../../support/workload-api-server.ts';
import { memoryLog } from '../../../unit/pip/fixture.ts';

const PDP = 'spiffe://a.test/ns/pdp/sa/pdp';
const EDGE = 'spiffe://a.test/ns/pdp/sa/edge';

let a: TestCa;
let b: TestCa;
beforeAll(async () => {
  [a, b] = await Promise.all([createTestCa('a.test'), createTestCa('b.test')]);
});
afterAll(async () => {
  await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
});

interface Rig extends AsyncDisposable {
  readonly api: WorkloadApiServer;
  readonly source: SvidSource;
  readonly log: ReturnType<typeof memoryLog>;
}

/** A server that has an SVID and both kinds of bundles to give, and a source that is not started. */
async function rig(options: Partial<WorkloadApiSourceOptions> = {}): Promise<Rig> {
  const api = await startWorkloadApi();
  await sendSvid(api);
  api.send('FetchX509Bundles', { bundles: { 'spiffe://a.test': derOf(a.bundle) } });
  api.send('FetchJWTBundles', { bundles: { 'spiffe://a.test': jwks('key-1') } });
  const log = memoryLog();
  const retry = { firstMs: 20, mostMs: 100 };
  const source = createWorkloadApiSource({
    endpoint: api.endpoint,
    clock: MACHINE_CLOCK,
    log,
    retry,
    ...options,
  });
  return {
    api,
    source,
    log,
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
      await api[Symbol.asyncDispose]();
    },
  };
}

async function sendSvid(api: WorkloadApiServer, spiffeId = PDP): Promise<void> {
  api.send('FetchX509SVID', { svids: [svidMessage(await a.issue({ spiffeId }), a.bundle)] });
}

function jwks(...keyIds: readonly string[]): Buffer {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = keyIds.map((kid) => ({ ...publicKey.export({ format: 'jwk' }), kid }));
  return Buffer.from(JSON.stringify({ keys }));
}

/** Waits until the source's state is as wanted. */
function until(
  what: string,
  source: SvidSource,
  isSo: (state: SvidSource['state']) => boolean,
): Promise<true> {
  return eventually(what, () => (isSo(source.state) ? true : undefined));
}

function hasId(id: string) {
  return ({ svid }: SvidSource['state']): boolean => svid?.identity.id === id;
}

describe('the SPIFFE Workload API source', () => {
  test('holds the SVID, the X.509 bundles and the JWT bundles once it has started', async () => {
    await using at = await rig();
    await at.source.start();
    const { svid, bundles } = at.source.state;
    expect(svid?.identity).toMatchObject({ id: PDP, trustDomain: 'a.test', namespace: 'pdp' });
    expect(svid?.certificateChain).toContain('BEGIN CERTIFICATE');
    expect(createPublicKey(svid?.privateKey ?? '').asymmetricKeyType).toBe('ec');
    expect(svid?.notAfter).toBeGreaterThan(Date.now());
    expect([...bundles.keys()]).toEqual(['a.test']);
    expect(bundles.get('a.test')?.x509Authorities.map(String)).toEqual([a.bundle]);
    expect(bundles.get('a.test')?.jwtAuthorities.map(({ kid }) => kid)).toEqual(['key-1']);
  });

  test('says on every call that it is a workload', async () => {
    await using at = await rig();
    await at.source.start();
    expect(at.api.withoutHeader).toBe(0);
    expect(at.api.opened('FetchX509SVID')).toBe(1);
    expect(at.api.opened('FetchX509Bundles')).toBe(1);
    expect(at.api.opened('FetchJWTBundles')).toBe(1);
  });

  test('takes a rotated SVID from the open stream and tells its listeners', async () => {
    await using at = await rig();
    await at.source.start();
    const before = at.source.state.svid;
    let told = 0;
    at.source.onChange(() => (told += 1));
    await sendSvid(at.api);
    await until('the new SVID', at.source, ({ svid }) => svid?.certificateChain !== before?.certificateChain);
    expect(at.source.state.svid?.privateKey).not.toBe(before?.privateKey);
    expect(told).toBe(1);
    expect(at.api.opened('FetchX509SVID')).toBe(1);
  });

  test('keeps the same SVID and bundles, and tells nobody, when the same state comes again', async () => {
    await using at = await rig();
    const svids = [svidMessage(await a.issue({ spiffeId: EDGE }), a.bundle)];
    at.api.send('FetchX509SVID', { svids });
    await at.source.start();
    const before = at.source.state;
    let told = 0;
    at.source.onChange(() => (told += 1));
    at.api.send('FetchX509SVID', { svids });
    const received = () => at.log.entries.filter(({ message }) => message.startsWith('SVID received')).length;
    await until('the same state', at.source, () => received() === 2);
    expect(at.source.state).toBe(before);
    expect(told).toBe(0);
  });

  test('keeps bundles that have not changed when the SVID does', async () => {
    await using at = await rig();
    await at.source.start();
    const before = at.source.state.bundles.get('a.test');
    await sendSvid(at.api, EDGE);
    await until('the new SVID', at.source, hasId(EDGE));
    expect(at.source.state.bundles.get('a.test')).toBe(before);
  });

  test('may be disposed of by whom it tells', async () => {
    await using at = await rig();
    await at.source.start();
    at.source.onChange(() => void at.source[Symbol.asyncDispose]());
    at.api.refuse('FetchX509SVID', status.PERMISSION_DENIED);
    await until('the SVID is gone', at.source, ({ svid }) => svid === undefined);
    const end = performance.now() + 150;
    await until('a while is past', at.source, () => performance.now() > end);
    expect(at.api.opened('FetchX509SVID')).toBe(1);
  });

  test('does not tell a listener that has stopped listening', async () => {
    await using at = await rig();
    await at.source.start();
    let told = 0;
    const stop = at.source.onChange(() => (told += 1));
    stop();
    await sendSvid(at.api, EDGE);
    await until('the new SVID', at.source, hasId(EDGE));
    expect(told).toBe(0);
  });

  test('a listener that throws keeps neither the state nor other listeners from the change', async () => {
    await using at = await rig();
    await at.source.start();
    let told = 0;
    at.source.onChange(() => {
      throw new Error('listener');
    });
    at.source.onChange(() => (told += 1));
    await sendSvid(at.api, EDGE);
    await until('the new SVID', at.source, hasId(EDGE));
    expect(told).toBe(1);
  });

  test('keeps federated bundles apart by trust domain, and drops one that a message does not hold any more', async () => {
    await using at = await rig();
    const bundles = { 'spiffe://a.test': derOf(a.bundle), 'spiffe://b.test': derOf(b.bundle) };
    at.api.send('FetchX509Bundles', { bundles });
    await at.source.start();
    await until('both bundles', at.source, (state) => state.bundles.size === 2);
    expect(at.source.state.bundles.get('a.test')?.x509Authorities.map(String)).toEqual([a.bundle]);
    expect(at.source.state.bundles.get('b.test')?.x509Authorities.map(String)).toEqual([b.bundle]);
    at.api.send('FetchX509Bundles', { bundles: { 'spiffe://a.test': derOf(a.bundle) } });
    await until('one bundle', at.source, (state) => !state.bundles.has('b.test'));
  });

  test('drops a federated bundle that the newest message of the SVID stream does not hold any more', async () => {
    await using at = await rig();
    const svids = [svidMessage(await a.issue({ spiffeId: PDP }), a.bundle)];
    await at.source.start();
    at.api.send('FetchX509SVID', { svids, federated_bundles: { 'spiffe://b.test': derOf(b.bundle) } });
    await until('both bundles', at.source, (state) => state.bundles.has('b.test'));
    at.api.send('FetchX509SVID', { svids });
    await until('one bundle', at.source, (state) => !state.bundles.has('b.test'));
  });

  test('a bundle of a foreign trust domain without authorities trusts nobody there, and changes nothing else', async () => {
    await using at = await rig();
    const bundles = { 'spiffe://a.test': derOf(a.bundle), 'spiffe://b.test': Buffer.alloc(0) };
    await at.source.start();
    at.api.send('FetchX509Bundles', { bundles });
    await until('the empty bundle', at.source, (state) => state.bundles.has('b.test'));
    expect(at.source.state.bundles.get('b.test')?.x509Authorities).toEqual([]);
    expect(at.source.state.bundles.get('a.test')?.x509Authorities).toHaveLength(1);
  });

  test('a foreign bundle that cannot be read vouches for nobody, and does not hold up the rest', async () => {
    await using at = await rig();
    await at.source.start();
    const bundles = {
      'spiffe://a.test': derOf(a.bundle),
      'spiffe://b.test': Buffer.from('not DER'),
      'spiffe://c.test': Buffer.of(0x30, 0),
      'b.test': derOf(b.bundle),
      'spiffe://b.test/path': derOf(b.bundle),
    };
    at.api.send('FetchX509Bundles', { bundles });
    await until('the bundles', at.source, (state) => state.bundles.has('c.test'));
    expect([...at.source.state.bundles].map(([name, held]) => [name, held.x509Authorities.length])).toEqual([
      ['a.test', 1],
      ['b.test', 0],
      ['c.test', 0],
    ]);
    expect(at.log.text()).toContain('not 100 DER certificates');
    expect(at.log.text()).toContain('not the SPIFFE ID of a trust domain');
  });

  test('replaces the JWT bundles with those of the newest message and passes over keys that cannot verify JWT-SVIDs', async () => {
    await using at = await rig();
    await at.source.start();
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = publicKey.export({ format: 'jwk' });
    const keys = [
      { ...jwk, kid: 'good' },
      { ...jwk, kid: 'also good', use: 'jwt-svid' },
      { ...jwk, kid: 'twice' },
      { ...jwk, kid: 'twice' },
      jwk,
      { ...jwk, kid: 'other use', use: 'x509-svid' },
      { ...privateKey.export({ format: 'jwk' }), kid: 'secret' },
      { ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'edwards' },
      { kty: 'RSA', kid: 'broken' },
      'not a key',
    ];
    at.api.send('FetchJWTBundles', { bundles: { 'spiffe://a.test': Buffer.from(JSON.stringify({ keys })) } });
    const held = () => at.source.state.bundles.get('a.test')?.jwtAuthorities.map(({ kid }) => kid);
    await until('the new keys', at.source, () => held()?.includes('good') ?? false);
    expect(held()).toEqual(['good', 'also good']);
    expect(at.log.text()).not.toContain(String(privateKey.export({ format: 'jwk' }).d));
  });

  test.each([
    ['is not JSON', '{'],
    ['repeats a key', '{"keys":[],"keys":[]}'],
    ['has no keys', '{}'],
  ])('a JWT bundle that %s holds no keys', async (_, text) => {
    await using at = await rig();
    at.api.send('FetchJWTBundles', {
      bundles: { 'spiffe://a.test': jwks('kept'), 'spiffe://b.test': Buffer.from(text) },
    });
    await at.source.start();
    await until('both', at.source, (state) => state.bundles.has('b.test'));
    expect(at.source.state.bundles.get('b.test')?.jwtAuthorities).toEqual([]);
    expect(at.source.state.bundles.get('a.test')?.jwtAuthorities).toHaveLength(1);
  });

  describe('discards a message whole, and stays with what it has, when it', () => {
    const forms: [string, string, (good: ReturnType<typeof svidMessage>) => Promise<object> | object][] = [
      ['has no SVIDs', "no 'svids'", () => ({ svids: [] })],
      [
        'has an SVID without an ID',
        "without 'spiffe_id'",
        (good) => ({ svids: [{ ...good, spiffe_id: '' }] }),
      ],
      [
        'has an SVID without a certificate',
        "without 'x509_svid'",
        (good) => ({ svids: [{ ...good, x509_svid: Buffer.alloc(0) }] }),
      ],
      [
        'has an SVID without a key',
        "without 'x509_svid_key'",
        (good) => ({ svids: [{ ...good, x509_svid_key: Buffer.alloc(0) }] }),
      ],
      [
        'has an SVID without a bundle',
        "without 'bundle'",
        (good) => ({ svids: [{ ...good, bundle: Buffer.alloc(0) }] }),
      ],
      [
        'lacks something in an SVID that is not the default',
        "without 'bundle'",
        (good) => ({ svids: [good, { ...good, bundle: Buffer.alloc(0) }] }),
      ],
      [
        'has the key of another certificate',
        'does not belong to the certificate',
        async (good) => ({
          svids: [
            { ...good, x509_svid_key: svidMessage(await a.issue({ spiffeId: PDP }), a.bundle).x509_svid_key },
          ],
        }),
      ],
      [
        'has a key that is none',
        'cannot be read',
        (good) => ({ svids: [{ ...good, x509_svid_key: Buffer.from('none') }] }),
      ],
      [
        'has a certificate that is none',
        'not 10 DER certificates',
        (good) => ({ svids: [{ ...good, x509_svid: Buffer.from('none') }] }),
      ],
      [
        'names another workload than the certificate',
        "'spiffe_id' is not the one",
        (good) => ({ svids: [{ ...good, spiffe_id: `${PDP}-2` }] }),
      ],
      [
        'names what is no workload',
        "'spiffe_id' has no path",
        (good) => ({ svids: [{ ...good, spiffe_id: 'spiffe://a.test' }] }),
      ],
      [
        'has an SVID that expired',
        'expired',
        async () => ({
          svids: [svidMessage(await a.issue({ spiffeId: PDP, lifetimeMs: -60_000 }), a.bundle)],
        }),
      ],
      [
        'has an SVID that its own bundle does not vouch for',
        'cannot be used',
        (good) => ({ svids: [{ ...good, bundle: derOf(b.bundle) }] }),
      ],
      [
        'has two bundles of one trust domain',
        'two different bundles',
        (good) => ({ svids: [good, { ...good, bundle: derOf(b.bundle) }] }),
      ],
    ];
    test.each(forms)('%s', async (_, problem, spoil) => {
      await using at = await rig();
      await at.source.start();
      const before = at.source.state.svid;
      const good = svidMessage(await a.issue({ spiffeId: PDP }), a.bundle);
      const bad = await spoil(good);
      at.api.send('FetchX509SVID', { ...bad, federated_bundles: { 'spiffe://b.test': derOf(b.bundle) } });
      await eventually('the message is discarded', () =>
        at.log.text().includes('discarded') ? true : undefined,
      );
      expect(at.log.text()).toContain(problem);
      expect(at.source.state.svid).toBe(before);
      expect(at.source.state.bundles.has('b.test')).toBe(false);
    });

    test('has no bundles on a stream of bundles', async () => {
      await using at = await rig();
      await at.source.start();
      at.api.send('FetchX509Bundles', { bundles: {} });
      at.api.send('FetchJWTBundles', { bundles: {} });
      const discarded = () => at.log.entries.filter(({ message }) => message.includes('discarded')).length;
      await eventually('both are discarded', () => (discarded() === 2 ? true : undefined));
      expect(at.source.state.bundles.get('a.test')?.x509Authorities).toHaveLength(1);
      expect(at.source.state.bundles.get('a.test')?.jwtAuthorities).toHaveLength(1);
    });
  });

  test('goes on with a good message after a discarded one, on the same stream', async () => {
    await using at = await rig();
    await at.source.start();
    at.api.send('FetchX509SVID', { svids: [] });
    await sendSvid(at.api, EDGE);
    await until('the SVID', at.source, hasId(EDGE));
    expect(at.api.opened('FetchX509SVID')).toBe(1);
  });

  test('takes the first SVID where several are given, unless a hint is configured', async () => {
    const svids = [
      svidMessage(await a.issue({ spiffeId: EDGE }), a.bundle, 'external'),
      svidMessage(await a.issue({ spiffeId: PDP }), a.bundle, 'internal'),
      svidMessage(await a.issue({ spiffeId: `${PDP}-2` }), a.bundle, 'internal'),
    ];
    for (const [hint, id] of [
      [undefined, EDGE],
      ['internal', PDP],
    ] as const) {
      await using at = await rig(hint === undefined ? {} : { hint });
      at.api.send('FetchX509SVID', { svids });
      await at.source.start();
      expect(at.source.state.svid?.identity.id).toBe(id);
    }
  });

  test('takes an SVID with an intermediate CA, and keeps its whole chain', async () => {
    await using at = await rig();
    const leaf = await a.issueAuthority().issue({ spiffeId: PDP });
    at.api.send('FetchX509SVID', { svids: [svidMessage(leaf, a.bundle)] });
    await at.source.start();
    expect(derOf(at.source.state.svid?.certificateChain ?? '')).toEqual(Buffer.concat(leaf.chain));
    expect(leaf.chain).toHaveLength(2);
  });

  test('holds no SVID where none has the configured hint, and says so', async () => {
    await using at = await rig({ hint: 'internal' });
    await at.source.start();
    expect(at.source.state.svid).toBeUndefined();
    expect(at.source.state.bundles.has('a.test')).toBe(true);
    expect(at.log.text()).toContain('no SVID with the configured hint');
  });

  test('keeps what it has while the endpoint is away, and follows it again when it is back on the same socket', async () => {
    await using at = await rig();
    await at.source.start();
    await at.api.die();
    await eventually('the end is noticed', () => (at.log.text().includes('opened again') ? true : undefined));
    expect(at.source.state.svid?.identity.id).toBe(PDP);
    await sendSvid(at.api, EDGE);
    await at.api.revive();
    await until('the new SVID', at.source, hasId(EDGE));
    expect(at.source.state.bundles.get('a.test')?.jwtAuthorities).toHaveLength(1);
  });

  test('tells of an endpoint that is away in one line, whatever the number of streams and tries, and in plain words', async () => {
    await using at = await rig();
    await at.source.start();
    expect(at.source.health).toEqual({
      refused: 0,
      bundles: [{ trustDomain: 'a.test', confirmedAt: expect.any(Number) as number }],
    });
    await at.api.die();
    await eventually('the end is noticed', () => at.source.health.problem);
    const told = () => at.log.entries.filter(({ message }) => message.includes('opened again'));
    await eventually('it is known to be away', () =>
      told().some(({ fields }) => JSON.stringify(fields).includes('UNAVAILABLE')) ? true : undefined,
    );
    await at.api.revive();
    await eventually('it is back', () => (at.source.health.problem === undefined ? true : undefined));
    const problems = told().map(({ fields }) => ('problem' in fields ? fields.problem : ''));
    expect(new Set(problems).size).toBe(problems.length);
    expect(at.log.text()).not.toContain('Resolution note');
  });

  test('says why it has no SVID', async () => {
    await using at = await rig();
    expect(at.source.health.problem).toBe('the SPIFFE Workload API has not answered yet');
    await at.source.start();
    at.api.refuse('FetchX509SVID', status.PERMISSION_DENIED);
    const denied = await eventually('the refusal is known', () => at.source.health.problem);
    expect(denied).toMatch(/^the SPIFFE Workload API gives us none: /);
    await sendSvid(at.api);
    await eventually('it is well', () => (at.source.health.problem === undefined ? true : undefined));
    at.api.send('FetchX509SVID', { svids: [] });
    expect(await eventually('the message is refused', () => at.source.health.problem)).toBe(
      "the message has no 'svids'",
    );
    expect(at.source.health.refused).toBe(1);
  });

  test('starts without an endpoint, holding nothing, and takes what comes once it is there', async () => {
    await using at = await rig();
    await at.api.die();
    await at.source.start();
    expect(at.source.state).toEqual({ bundles: new Map() });
    await at.api.revive();
    await until('the SVID', at.source, hasId(PDP));
  });

  test('does not wait for ever for an endpoint that says nothing', async () => {
    await using api = await startWorkloadApi();
    const log = memoryLog();
    await using source = createWorkloadApiSource({
      endpoint: api.endpoint,
      clock: MACHINE_CLOCK,
      log,
      startTimeoutMs: 50,
    });
    await source.start();
    expect(source.state.svid).toBeUndefined();
  });

  test('PermissionDenied on a live stream withdraws the SVID at once, and a later SVID is taken', async () => {
    await using at = await rig();
    await at.source.start();
    at.api.refuse('FetchX509SVID', status.PERMISSION_DENIED);
    await until('the SVID is gone', at.source, ({ svid }) => svid === undefined);
    expect(at.log.text()).toContain('withdrawn');
    const before = at.api.opened('FetchX509SVID');
    await eventually('it is tried again', () => (at.api.opened('FetchX509SVID') > before ? true : undefined));
    await sendSvid(at.api, EDGE);
    await until('the new SVID', at.source, hasId(EDGE));
  });

  test('PermissionDenied on every stream leaves nothing that is trusted', async () => {
    await using at = await rig();
    await at.source.start();
    for (const call of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles'] as const)
      at.api.refuse(call, status.PERMISSION_DENIED);
    await until(
      'nothing is held',
      at.source,
      ({ svid, bundles }) => svid === undefined && bundles.size === 0,
    );
  });

  test('an endpoint without the call for bundles alone is not asked again; the SVID stream has them too', async () => {
    await using at = await rig();
    at.api.refuse('FetchX509Bundles', status.UNIMPLEMENTED);
    await at.source.start();
    expect(at.source.state.bundles.get('a.test')?.x509Authorities).toHaveLength(1);
    await sendSvid(at.api, EDGE);
    await until('the SVID', at.source, hasId(EDGE));
    expect(at.api.opened('FetchX509Bundles')).toBe(1);
  });

  test('InvalidArgument is not tried again, loudly, and leaves no SVID in use', async () => {
    await using at = await rig();
    await at.source.start();
    at.api.refuse('FetchX509SVID', status.INVALID_ARGUMENT);
    await until('the SVID is gone', at.source, ({ svid }) => svid === undefined);
    const said = at.log.entries.find(({ message }) => message.includes('not tried again'));
    expect(said).toMatchObject({ level: 'error', fields: { call: 'FetchX509SVID' } });
    // The other streams come back after the endpoint does, and by then the refused one would have too.
    await at.api.die();
    await at.api.revive();
    await eventually('the others are back', () => (at.api.opened('FetchJWTBundles') > 1 ? true : undefined));
    expect(at.api.opened('FetchX509SVID')).toBe(1);
  });

  test.each([status.UNAVAILABLE, status.INTERNAL, status.RESOURCE_EXHAUSTED])(
    'gRPC status %i is tried again and withdraws nothing',
    async (code) => {
      await using at = await rig();
      await at.source.start();
      at.api.refuse('FetchX509SVID', code);
      await eventually('it is tried again', () => (at.api.opened('FetchX509SVID') > 2 ? true : undefined));
      expect(at.source.state.svid?.identity.id).toBe(PDP);
    },
  );

  test('an SVID that expires without a successor is not held any more', async () => {
    await using at = await rig();
    await at.source.start();
    const svids = [svidMessage(await a.issue({ spiffeId: EDGE, lifetimeMs: 2_500 }), a.bundle)];
    at.api.send('FetchX509SVID', { svids });
    await until('the short SVID', at.source, hasId(EDGE));
    await until('it is gone', at.source, ({ svid }) => svid === undefined);
    expect(at.log.text()).toContain('expired before');
    expect(at.source.state.bundles.has('a.test')).toBe(true);
  });

  test('ignores revocation lists, and says so once', async () => {
    await using at = await rig();
    await at.source.start();
    const crl = [Buffer.of(0x30, 0)];
    at.api.send('FetchX509Bundles', { bundles: { 'spiffe://a.test': derOf(a.bundle) }, crl });
    at.api.send('FetchX509SVID', { svids: [svidMessage(await a.issue({ spiffeId: EDGE }), a.bundle)], crl });
    await until('the SVID', at.source, hasId(EDGE));
    expect(at.log.entries.filter(({ message }) => message.includes('revocation lists'))).toHaveLength(1);
  });

  test('never logs key material', async () => {
    await using at = await rig();
    await at.source.start();
    const good = svidMessage(await a.issue({ spiffeId: PDP }), a.bundle);
    at.api.send('FetchX509SVID', { svids: [{ ...good, x509_svid_key: good.x509_svid_key.subarray(1) }] });
    await eventually('the message is discarded', () =>
      at.log.text().includes('discarded') ? true : undefined,
    );
    const key = good.x509_svid_key.toString('base64').slice(40, 80);
    expect(at.log.text()).not.toContain(key);
    expect(at.log.text()).not.toContain('PRIVATE KEY');
  });

  test('closes its streams when it is disposed, and opens none afterwards', async () => {
    await using at = await rig();
    await at.source.start();
    await at.source[Symbol.asyncDispose]();
    await at.api.die();
    await at.api.revive();
    await sendSvid(at.api, EDGE);
    expect(at.source.state.svid?.identity.id).toBe(PDP);
    expect(at.api.opened('FetchX509SVID')).toBe(1);
    expect(at.log.text()).not.toContain('opened again');
  });

  test('refuses an endpoint of the wrong form before anything is opened', () => {
    const options = { clock: MACHINE_CLOCK, log: memoryLog() };
    expect(() => createWorkloadApiSource({ ...options, endpoint: 'unix:relative.sock' })).toThrow(
      'absolute path',
    );
  });
});
