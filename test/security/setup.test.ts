import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestIssuer } from '../support/tokens.ts';
import {
  BYPASS_POLICIES,
  type Bench,
  NOT_PERMITTED,
  expectAllowed,
  expectDenied,
  issuerConfig,
  startBench,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench[Symbol.asyncDispose]());

/** Asserts that a PDP with these settings does not start, and says why. */
async function expectRefused(overrides: Readonly<Record<string, unknown>>, why: RegExp): Promise<void> {
  await expect(
    startBench(overrides).then(async (started) => {
      await started[Symbol.asyncDispose]();
      return 'it started';
    }),
  ).rejects.toThrow(why);
}

const testIssuer = () => createTestIssuer({ issuer: 'https://idp.example.com', audience: 'app' });

/** A server of keys that counts who asks. */
async function startKeyServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { url, asked, [Symbol.asyncDispose]: close };
}

flawClass(19, 'gRPC', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['the configuration', { policy_mode: 'permissive' }, /policy_mode/],
    ['a section', { decision: { cache: { disabled: true } } }, /disabled/],
    ['the listener', { grpc: { address: '127.0.0.1:0', plaintext: true, allowlist: [] } }, /allowlist/],
  ])('an unknown key in %s refuses to start', (_where, overrides, why) => expectRefused(overrides, why));

  test.each([
    [
      'bindings',
      'bindings.yaml',
      'bindings:\n  - id: x\n    match: { path: /x, regex: ".*" }\n    action: ZeroTrust::Action::"GET"\n',
      /regex/,
    ],
    [
      'a policy',
      'more.cedar',
      '@id("x") permit (principal, action, resource) when { context.unknown };',
      /unknown/,
    ],
    [
      'an action',
      'more.cedar',
      '@id("x") forbid (principal, action == ZeroTrust::Action::"DELETE", resource);',
      /DELETE/,
    ],
  ])('an unknown name in %s refuses to start', async (_where, file, text, why) => {
    const folder = await mkdtemp(join(tmpdir(), 'pdp-flaw-'));
    try {
      const schema = 'schema.cedarschema';
      await copyFile(join(BYPASS_POLICIES, schema), join(folder, schema));
      await writeFile(join(folder, 'main.cedar'), '@id("all") permit (principal, action, resource);');
      const good = await startBench({ policies: { sets: [folder] } });
      expectAllowed(await good.ask({ path: '/x' }));
      await good[Symbol.asyncDispose]();
      await writeFile(join(folder, file), text);
      await expectRefused({ policies: { sets: [folder] } }, why);
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 20 });
    }
  });
});

flawClass(22, 'gRPC', () => {
  test('an issuer without an audience refuses to start', async () => {
    const issuer = await testIssuer();
    const { audiences: _none, ...without } = issuerConfig(issuer, { file: bench.jwksFile });
    await expectRefused({ issuers: [without] }, /audiences/);
    await expectRefused({ issuers: [{ ...without, audiences: [] }] }, /audience/);
    await expectRefused({ issuers: [{ ...without, audiences: [''] }] }, /audiences/);
  });
});

flawClass(23, 'gRPC', () => {
  test('no token has us fetch anything, or use a key that it brings', async () => {
    const foreign = await testIssuer();
    await using keys = await startKeyServer((_request, response) =>
      response.end(JSON.stringify(foreign.jwks)),
    );
    const [jwk] = foreign.jwks.keys;
    for (const header of [
      { jku: `${keys.url}/jku` },
      { x5u: `${keys.url}/x5u` },
      { jwk },
      { kid: `${keys.url}/kid` },
      { kid: '../../../../etc/passwd' },
      { jku: `${keys.url}/jku`, kid: 'other' },
    ]) {
      const token = await foreign.sign({}, header);
      expectDenied(
        await bench.ask({ path: '/people', token }),
        'token_signature_invalid',
        'token_key_unknown',
        'token_malformed',
      );
    }
    const token = await foreign.sign({ iss: keys.url });
    expectDenied(await bench.ask({ path: '/people', token }), 'token_issuer_unknown');
    expect(keys.asked).toEqual([]);
    expectAllowed(await bench.ask({ path: '/people', token: await bench.issuer.sign() }));
  });

  test.each<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
    [
      'are somewhere else',
      (request, response) =>
        request.url === '/keys'
          ? response.writeHead(302, { location: '/elsewhere' }).end()
          : response.end('{"keys":[]}'),
    ],
    ['are too large', (_request, response) => response.end(`{"keys":[],"pad":"${'x'.repeat(1024 * 1024)}"}`)],
    ['are no keys', (_request, response) => response.end('<html>')],
    ['cannot be had', (_request, response) => response.writeHead(500).end()],
  ])('where keys %s, a token is unverifiable, and is not followed', async (_what, answer) => {
    const issuer = await testIssuer();
    await using keys = await startKeyServer(answer);
    await using own = await startBench({ issuers: [issuerConfig(issuer, { url: `${keys.url}/keys` })] });
    const token = await issuer.sign();
    expectDenied(await own.ask({ path: '/people', token }), 'token_unverifiable', 'token_key_unknown');
    expectDenied(await own.ask({ path: '/public/page', token }), 'token_unverifiable', 'token_key_unknown');
    expect(new Set(keys.asked)).toEqual(new Set(['/keys']));
    expectAllowed(await own.ask({ path: '/public/page' }));
  });

  test('keys from the configured URL verify', async () => {
    const issuer = await testIssuer();
    await using keys = await startKeyServer((_request, response) =>
      response.end(JSON.stringify(issuer.jwks)),
    );
    await using own = await startBench({ issuers: [issuerConfig(issuer, { url: `${keys.url}/keys` })] });
    expectAllowed(await own.ask({ path: '/people', token: await issuer.sign() }));
  });

  test.each([
    'http://idp.example.com/keys',
    'file:///etc/passwd',
    'https://user:secret@idp.example.com/keys',
    'gopher://127.0.0.1/',
    'data:application/json,{}',
  ])('refuses to start with keys from %s', async (url) => {
    const issuer = await testIssuer();
    await expectRefused({ issuers: [issuerConfig(issuer, { url })] }, /jwks/);
  });
});

flawClass(24, 'gRPC', () => {
  test('the port that answers checks knows no administration, and the other no checks', async () => {
    const { grpc, ops } = bench.app.addresses;
    for (const path of [
      '/policies/promote',
      '/metrics',
      '/pdp.v1.Admin/Promote',
      '/v1/data/system',
      '/debug/pprof',
    ])
      await expect(bench.client.unary(path, Buffer.alloc(0))).rejects.toMatchObject({ code: 12 });
    await expect(fetch(`http://${grpc}/metrics`)).rejects.toThrow();
    const check = await fetch(`http://${ops}/envoy.service.auth.v3.Authorization/Check`, { method: 'POST' });
    expect(check.status).toBe(404);
  });
  test('without a token nobody changes policies over the API', async () => {
    const { ops } = bench.app.addresses;
    for (const path of ['/policies/promote', '/policies/rollback'])
      for (const authorization of ['', 'Bearer ', 'Bearer x', `Bearer ${await bench.issuer.sign()}`]) {
        const answer = await fetch(`http://${ops}${path}`, { method: 'POST', headers: { authorization } });
        expect([401, 403, 404]).toContain(answer.status);
      }
    expectAllowed(await bench.ask({}));
  });
  test.each([
    '/policies/../policies/promote',
    '//policies',
    '/policies%2fpromote',
    '/metrics?x',
    '/../etc/passwd',
  ])('the other port knows its paths by their exact names: %s', async (path) => {
    const answer = await rawGet(bench.app.addresses.ops, path);
    expect(answer).toMatch(/^HTTP\/1\.1 40[0-9]/);
  });
  test('text of a request is never part of a query', async () => {
    const texts = ['")', '" || true', 'x"} || {"a', "'; permit(principal,action,resource);//", '\\", "admin'];
    for (const text of texts) {
      const token = await bench.issuer.sign({ sub: `bob${text}`, role: `user${text}` });
      for (const path of ['/people', '/role', `/${encodeURIComponent(text).replaceAll('.', '')}`]) {
        const exchange = await bench.ask({ path, token, extensions: { route: text } });
        expectDenied(exchange, ...NOT_PERMITTED, 'token_claims_refused', 'path_ambiguous');
      }
    }
    expectAllowed(await bench.ask({ path: '/role', token: await bench.issuer.sign({ role: 'admin' }) }));
  });
});

/** What a server says to a GET whose target no client has tidied. */
async function rawGet(address: string, target: string): Promise<string> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  socket.setEncoding('latin1').write(`GET ${target} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n`);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}
