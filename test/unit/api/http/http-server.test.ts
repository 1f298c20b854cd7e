import { once } from 'node:events';
import { Agent, type RequestOptions, request } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { keySetRoutes } from '../../../../src/api/http/key-set.ts';
import { type HttpServerParts, startHttpServer } from '../../../../src/api/http/http-server.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { bundlesOf, createTestTrust } from '../../../support/svids.ts';
import { type Leaf, type TestCa, createTestCa } from '../../../support/test-ca.ts';

const KEYS = { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x', kid: '1' }] };
const said: { fields: object; message: string }[] = [];
const say = (fields: object, message: string): void => void said.push({ fields, message });

async function serve(parts: Partial<HttpServerParts> = {}): Promise<string> {
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    clock: MACHINE_CLOCK,
    log: { info: say, warn: say, error: say },
    maxBodyBytes: 1024,
    routes: [keySetRoutes({ document: () => KEYS, maxAgeS: 300 })],
    ...parts,
  });
  if (!server) throw new Error('no surface');
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server.address;
}

describe('in plaintext', () => {
  test('serves the key set, with the time for which it may be kept', async () => {
    const answer = await fetch(`http://${await serve()}/.well-known/jwks.json`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^application\/jwk-set\+json/);
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await answer.json()).toEqual(KEYS);
  });

  test('answers HEAD without a body', async () => {
    const answer = await fetch(`http://${await serve()}/.well-known/jwks.json`, { method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  test('serves the key set of the moment', async () => {
    let keys = KEYS;
    const address = await serve({ routes: [keySetRoutes({ document: () => keys, maxAgeS: 0 })] });
    keys = { keys: [] };
    expect(await (await fetch(`http://${address}/.well-known/jwks.json`)).json()).toEqual({ keys: [] });
  });

  test.each(['/', '/.well-known/jwks.json/x', '/access/v1/evaluation'])(
    'answers %s, which is nothing, with problem details',
    async (path) => {
      const answer = await fetch(`http://${await serve()}${path}`);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(await answer.json()).toEqual({ type: 'about:blank', title: 'Not Found', status: 404 });
    },
  );

  test('says no more than 500 of a fault, and logs it', async () => {
    const jwks = {
      maxAgeS: 0,
      document: () => {
        throw new Error('SECRET');
      },
    };
    const answer = await fetch(
      `http://${await serve({ routes: [keySetRoutes(jwks)] })}/.well-known/jwks.json`,
    );
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await answer.json()).toEqual({ type: 'about:blank', title: 'Internal Server Error', status: 500 });
    expect(said.at(-1)?.message).toMatch(/failed in a way/);
  });

  test('answers what is no HTTP with problem details, and closes', async () => {
    const [host, port] = (await serve()).split(':');
    const socket = tcpConnect(Number(port), host);
    socket.write('nonsense\r\n\r\n');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 400 .*application\/problem\+json/s);
    expect(text).not.toContain('nonsense');
  });

  test('is not opened where there is nothing to serve', async () => {
    const parts = {
      address: '127.0.0.1:0',
      clock: MACHINE_CLOCK,
      log: { info: say, warn: say, error: say },
      maxBodyBytes: 1024,
      routes: [],
    };
    expect(await startHttpServer(parts)).toBeUndefined();
  });

  test('does not start on an address that is taken', async () => {
    const address = await serve();
    await expect(serve({ address })).rejects.toThrow(/EADDRINUSE/);
  });
});

describe('over mutual TLS', () => {
  const BACKEND = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';
  let ca: TestCa;
  let pdp: Leaf;
  beforeAll(async () => {
    ca = await createTestCa('prod.example.com');
    pdp = await ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/pdp/sa/pdp' });
  });
  afterAll(() => ca[Symbol.asyncDispose]());

  async function serveTls(maxConnectionAgeMs = 60_000) {
    const trust = createTestTrust(pdp, bundlesOf(ca));
    const allows = ({ id }: { id: string }) => id === BACKEND;
    return { trust, address: await serve({ tls: { trust, allows, maxConnectionAgeMs } }) };
  }

  async function get(address: string, leaf: Leaf | undefined, options: RequestOptions = {}) {
    const [host, port] = address.split(':');
    const identity = leaf && { cert: leaf.cert, key: leaf.key };
    return new Promise<{ status: number | undefined; body: string; port: number | undefined }>(
      (resolve, reject) => {
        request(
          { host, port, path: '/.well-known/jwks.json', rejectUnauthorized: false, ...identity, ...options },
          (answer) => {
            const { localPort } = answer.socket;
            let body = '';
            answer.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
            answer.on('end', () => resolve({ status: answer.statusCode, body, port: localPort }));
          },
        )
          .on('error', reject)
          .end();
      },
    );
  }

  test('answers a caller on the allow list', async () => {
    const { address } = await serveTls();
    const { status, body } = await get(address, await ca.issue({ spiffeId: BACKEND }));
    expect([status, JSON.parse(body)]).toEqual([200, KEYS]);
  });

  test('answers 403 to a trusted caller that is not, and names it', async () => {
    const { address } = await serveTls();
    const { status, body } = await get(address, await ca.issue({ spiffeId: `${BACKEND}-2` }));
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({
      title: 'Forbidden',
      detail: expect.stringContaining(`${BACKEND}-2`),
    });
  });

  test('answers nothing to a caller without a certificate', async () => {
    const { address, trust } = await serveTls();
    await expect(get(address, undefined)).rejects.toThrow();
    expect(trust.refused).toEqual([{ surface: 'http', cause: 'missing' }]);
  });

  test('gives a request that does not come to its end five seconds for its headers', async () => {
    const { address } = await serveTls();
    const { cert, key } = await ca.issue({ spiffeId: BACKEND });
    const [host, port] = address.split(':');
    const socket = tlsConnect({ host: host ?? '', port: Number(port), rejectUnauthorized: false, cert, key });
    socket.on('error', () => undefined);
    socket.write('GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(socket, 'close');
    expect(text).not.toContain('200');
  });

  test('closes connections at their age, between requests, without a failed one', async () => {
    const { address } = await serveTls(50);
    const leaf = await ca.issue({ spiffeId: BACKEND });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const ports = new Set<number | undefined>();
    await eventually('three connections', async () => {
      const { status, port } = await get(address, leaf, { agent });
      expect(status).toBe(200);
      ports.add(port);
      return ports.size >= 3 ? true : undefined;
    });
  });
});
