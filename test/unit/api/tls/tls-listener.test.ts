import { once } from 'node:events';
import { type AddressInfo, connect as tcpConnect, createServer } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect, createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { peerOfSocket } from '../../../../src/api/tls/peer.ts';
import { assertStrangersAreRefused } from '../../../../src/api/tls/self-check.ts';
import { type TlsListenerOptions, startTlsListener } from '../../../../src/api/tls/tls-listener.ts';
import { createManualClock } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { type TestTrust, bundlesOf, createTestTrust, svidOf } from '../../../support/svids.ts';
import { type Leaf, type TestCa, createTestCa } from '../../../support/test-ca.ts';

const PEP = 'spiffe://prod.example.com/ns/mesh/sa/envoy';
let ca: TestCa;
let server: Leaf;
let pep: Leaf;

beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  server = await ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/pdp/sa/pdp' });
  pep = await ca.issue({ spiffeId: PEP });
});
afterAll(() => ca[Symbol.asyncDispose]());

/** A listener that greets whoever it accepts. */
async function listen(options: Partial<TlsListenerOptions> & { readonly trust?: TestTrust } = {}) {
  const trust = options.trust ?? createTestTrust(server, bundlesOf(ca));
  const accepted: TLSSocket[] = [];
  const listener = await startTlsListener({
    surface: 'test',
    address: '127.0.0.1:0',
    protocol: 'h2',
    allows: () => true,
    maxConnectionAgeMs: 60_000,
    accept(socket) {
      accepted.push(socket);
      socket.write('hello');
      return { retire: () => void socket.end() };
    },
    ...options,
    trust,
  });
  onTestFinished(() => listener[Symbol.asyncDispose]());
  return { listener, trust, accepted };
}

/** What a client was told until the connection ended. */
async function told(address: string, options: ConnectionOptions = {}): Promise<string> {
  const socket = open(address, options);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
    socket.end();
  });
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

function open(address: string, options: ConnectionOptions = {}): TLSSocket {
  const [host = '', port] = address.split(':');
  const socket = connect({
    host,
    port: Number(port),
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    cert: pep.cert,
    key: pep.key,
    ...options,
  });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

const NOBODY: ConnectionOptions = { cert: '', key: '' };

describe('a connection', () => {
  test('is handed over with its peer', async () => {
    const { listener, accepted } = await listen();
    expect(await told(listener.address)).toBe('hello');
    const [socket] = accepted;
    expect(socket && peerOfSocket(socket)).toMatchObject({ svid: { identity: { id: PEP } }, allowed: true });
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('may be of %s', async (version) => {
    const { listener } = await listen();
    expect(await told(listener.address, { minVersion: version, maxVersion: version })).toBe('hello');
  });

  test('may not be older than TLS 1.2, which is counted as a failed handshake', async () => {
    const { listener, trust } = await listen();
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await told(listener.address, old)).toBe('');
    await eventually('a refusal', () => trust.refused[0]);
    expect(trust.refused).toEqual([{ surface: 'test', cause: 'handshake' }]);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'is not resumed, so that its chain is verified again (%s)',
    async (maxVersion) => {
      const reused: boolean[] = [];
      const { listener } = await listen({
        accept(socket) {
          reused.push(socket.isSessionReused());
          socket.write('hello');
          return { retire: () => undefined };
        },
      });
      let session: Buffer | undefined;
      const first = open(listener.address, { maxVersion });
      first.on('session', (ticket) => (session = ticket));
      first.resume();
      await once(first, 'data');
      first.end();
      await once(first, 'close');
      expect(await told(listener.address, { maxVersion, ...(session && { session }) })).toBe('hello');
      expect(reused).toEqual([false, false]);
    },
  );

  test('comes with intermediate certificates, which are verified too', async () => {
    const leaf = await ca.issueAuthority().issue({ spiffeId: PEP });
    const { listener } = await listen();
    expect(await told(listener.address, { cert: leaf.cert, key: leaf.key })).toBe('hello');
    const [alone] = leaf.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(await told(listener.address, { cert: alone, key: leaf.key })).toBe('');
  });

  test('without a certificate is closed before a word is said', async () => {
    const { listener, accepted, trust } = await listen();
    expect(await told(listener.address, NOBODY)).toBe('');
    expect(accepted).toEqual([]);
    expect(trust.refused).toEqual([{ surface: 'test', cause: 'missing' }]);
    expect(trust.lines.at(-1)).toMatchObject({
      fields: { surface: 'test', cause: 'missing', peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
      message: 'a connection was refused: the peer presented no client certificate',
    });
  });

  test.each([
    ['another protocol', ['http/1.1']],
    ['no protocol', undefined],
  ])('that speaks %s is refused', async (_what, ALPNProtocols) => {
    const { listener, accepted, trust } = await listen();
    expect(await told(listener.address, { ALPNProtocols })).toBe('');
    expect(accepted).toEqual([]);
    await eventually('a refusal', () => trust.refused[0]);
  });

  test('whose handshake takes too long is closed', async () => {
    const { listener, trust } = await listen({ handshakeTimeoutMs: 50 });
    const socket = tcpConnect(Number(listener.address.split(':')[1]), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    await once(socket, 'close');
    expect(trust.refused).toEqual([{ surface: 'test', cause: 'handshake' }]);
  });

  test('beyond the most that there may be is dropped and counted', async () => {
    const { listener, trust } = await listen({ maxConnections: 2 });
    const held = [open(listener.address), open(listener.address)];
    await Promise.all(held.map((socket) => once(socket, 'data')));
    expect(await told(listener.address)).toBe('');
    expect(trust.refused).toEqual([{ surface: 'test', cause: 'capacity' }]);
    held[0]?.destroy();
    await eventually('room again', async () =>
      (await told(listener.address)) === 'hello' ? true : undefined,
    );
  });

  test('is retired at its age, and cut where that does not end it', async () => {
    const retired: number[] = [];
    const { listener } = await listen({
      maxConnectionAgeMs: 50,
      accept: (socket) => {
        socket.write('hello');
        return { retire: (graceMs) => void retired.push(graceMs) };
      },
    });
    const socket = open(listener.address, await shortLived(1500));
    socket.resume();
    await once(socket, 'close');
    expect(retired).toHaveLength(1);
    expect(retired[0]).toBeLessThan(1500);
  });
});

async function shortLived(lifetimeMs: number): Promise<ConnectionOptions> {
  const { cert, key } = await ca.issue({ spiffeId: PEP, lifetimeMs });
  return { cert, key };
}

describe('our own identity', () => {
  test('that has expired lets nobody in any more', async () => {
    const clock = createManualClock(Date.now());
    const { listener, trust } = await listen({ trust: createTestTrust(server, bundlesOf(ca), clock) });
    expect(await told(listener.address)).toBe('hello');
    clock.advance(3_700_000);
    expect(await told(listener.address)).toBe('');
    expect(trust.refused).toEqual([{ surface: 'test', cause: 'no_identity' }]);
    expect(trust.lines.at(-1)?.message).toBe('a connection was refused: our own SVID has expired');
  });

  test('that is new does not let strangers in either', async () => {
    const { listener, trust } = await listen();
    const next = await ca.issue({ spiffeId: server.spiffeId });
    trust.svids.hold({ svid: svidOf(next), bundles: trust.svids.state.bundles });
    expect(await told(listener.address, NOBODY)).toBe('');
    expect(await told(listener.address)).toBe('hello');
  });

  test('that cannot be used lets nobody in, rather than going on with the old one', async () => {
    const { listener, trust } = await listen();
    const { svid, bundles } = trust.svids.state;
    if (!svid) throw new Error('no SVID');
    trust.svids.hold({ svid: { ...svid, privateKey: pep.key }, bundles });
    expect(await told(listener.address)).toBe('');
    expect(trust.lines[0]?.message).toMatch(/our new SVID cannot be used/);
    trust.svids.hold({ svid, bundles });
    expect(await told(listener.address)).toBe('hello');
  });
});

test('one line a second says what was refused, and counts the others', async () => {
  const clock = createManualClock(Date.now());
  const { listener, trust } = await listen({ trust: createTestTrust(server, bundlesOf(ca), clock) });
  for (let each = 0; each < 3; each += 1) await told(listener.address, NOBODY);
  expect(trust.lines).toHaveLength(1);
  clock.advance(1000);
  await told(listener.address, NOBODY);
  expect(trust.lines).toHaveLength(2);
  expect(trust.lines[1]?.fields).toMatchObject({ more_since_last_line: 2 });
  expect(trust.refused).toHaveLength(4);
});

test('what was refused and not said is said at the end', async () => {
  const clock = createManualClock(Date.now());
  const { listener, trust } = await listen({ trust: createTestTrust(server, bundlesOf(ca), clock) });
  for (let each = 0; each < 3; each += 1) await told(listener.address, NOBODY);
  await listener[Symbol.asyncDispose]();
  expect(trust.lines).toHaveLength(2);
  expect(trust.lines[1]?.fields).toMatchObject({ more_since_last_line: 1 });
});

test('the check at the start is no news', async () => {
  const { trust } = await listen();
  expect(trust.refused).toEqual([]);
  expect(trust.lines).toEqual([]);
});

describe('a surface that lets strangers in', () => {
  const checked = { surface: 'test', protocol: 'h2' } as const;

  test('fails its check, and so never serves', async () => {
    const open = createTlsServer({ cert: server.cert, key: server.key, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('error', () => undefined);
      socket.write('welcome');
    });
    onTestFinished(() => void open.close());
    await new Promise<void>((resolve) => void open.listen(0, '127.0.0.1', resolve));
    await expect(assertStrangersAreRefused(open, checked, () => undefined)).rejects.toThrow(
      'the test surface failed its check: a connection without a client certificate was answered',
    );
  });

  test('fails its check where it is not even TLS', async () => {
    const plain = createServer((socket) => void socket.end('welcome'));
    onTestFinished(() => void plain.close());
    await new Promise<void>((resolve) => void plain.listen(0, '127.0.0.1', resolve));
    await expect(assertStrangersAreRefused(plain, checked, () => undefined)).rejects.toThrow(
      /could not be connected to/,
    );
  });

  test('is checked by the address that is bound, whichever that is', async () => {
    const { listener } = await listen({ address: '0.0.0.0:0' });
    expect(await told(listener.address.replace('0.0.0.0', '127.0.0.1'))).toBe('hello');
  });
});

test('an address that is taken is told', async () => {
  const other = createServer();
  onTestFinished(() => void other.close());
  await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  await expect(listen({ address: `127.0.0.1:${port}` })).rejects.toThrow(/EADDRINUSE/);
});
