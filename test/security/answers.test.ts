import { once } from 'node:events';
import http2 from 'node:http2';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EXT_AUTHZ_TYPES } from '../support/requests.ts';
import {
  type Bench,
  NOT_PERMITTED,
  type Question,
  expectAllowed,
  expectDenied,
  question,
  startBench,
  wireField,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench({ grpc: { address: '127.0.0.1:0', plaintext: true, max_receive_bytes: 65_536 } });
});
afterAll(() => bench[Symbol.asyncDispose]());

async function denied(asked: Question | Buffer, ...reasons: readonly string[]): Promise<void> {
  expectDenied(await bench.ask(asked), ...reasons);
}

flawClass(15, 'gRPC', () => {
  test.each<[string, Buffer]>([
    ['no bytes', Buffer.alloc(0)],
    ['a cut message', question().subarray(0, -3)],
    ['a length beyond the end', Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\nhost: app.example\r\n\r\n')],
    [
      'a question about a TCP connection',
      EXT_AUTHZ_TYPES.CheckRequest.encode({ attributes: { source: {} } }).finish() as Buffer,
    ],
  ])('answers %s with an explicit, recorded deny', (_what, bytes) => denied(bytes, 'request_malformed'));

  test('answers whatever bytes, never with a permit and never with an error of the call', async () => {
    const good = question();
    const mutated = fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 6 })).map(([at, bytes]) => {
      const cut = at % good.length;
      return Buffer.concat([good.subarray(0, cut), bytes, good.subarray(cut)]);
    });
    const noise = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes));
    const check = async (bytes: Buffer, mayPermit: boolean): Promise<void> => {
      const answer = await bench.answer(bytes);
      if (answer.allowed)
        expect({ mayPermit, reason: answer.metadata['reason'] }).toEqual({
          mayPermit: true,
          reason: 'permitted',
        });
      else
        expect(answer).toMatchObject({
          httpStatus: expect.any(Number) as number,
          metadata: { decision: 'DENY' },
        });
    };
    await fc.assert(
      fc.asyncProperty(noise, (bytes) => check(bytes, false)),
      { numRuns: 150 },
    );
    // Some of these are the same question in other bytes.
    await fc.assert(
      fc.asyncProperty(mutated, (bytes) => check(bytes, true)),
      { numRuns: 150 },
    );
  });

  test('fields that are not known today change nothing', async () => {
    const unknown = wireField(99, Buffer.from('tomorrow'));
    expectAllowed(await bench.ask(Buffer.concat([question(), unknown])));
    await denied(Buffer.concat([question({ path: '/people' }), unknown]), ...NOT_PERMITTED);
  });

  test('a deny is an explicit denied response, which failure_mode_allow does not apply to', async () => {
    const bytes = await bench.client.unary(
      '/envoy.service.auth.v3.Authorization/Check',
      question({ path: '/people' }),
    );
    const message = EXT_AUTHZ_TYPES.CheckResponse.toObject(EXT_AUTHZ_TYPES.CheckResponse.decode(bytes));
    expect(message['status']).toMatchObject({ code: 7 });
    expect(message['deniedResponse']).toMatchObject({ status: { code: 401 } });
    expect(message).not.toHaveProperty('errorResponse');
    expect(message).not.toHaveProperty('okResponse');
  });
});

flawClass(16, 'gRPC', () => {
  const upgrade = (...values: string[]): Question => ({
    raw: [['connection', 'Upgrade'], ...values.map((value) => ['upgrade', value] as const)],
  });

  test.each(['websocket', 'WebSocket', 'h2c', 'TLS/1.0', 'connect-udp', '', 'websocket, h2c'])(
    'denies an upgrade to %j',
    async (protocol) => {
      await denied(upgrade(protocol), 'upgrade_refused');
      await denied({ joined: { upgrade: protocol } }, 'upgrade_refused');
    },
  );
  test('denies CONNECT in every form, and an upgrade that names nothing', async () => {
    await denied({ method: 'CONNECT', path: '', host: 'app.example:443' }, 'upgrade_refused');
    await denied({ method: 'CONNECT' }, 'upgrade_refused');
    await denied({ method: 'CONNECT', raw: [[':protocol', 'websocket']] }, 'upgrade_refused');
    await denied({ raw: [['connection', 'keep-alive, upgrade']] }, 'upgrade_refused');
  });
  test('a missing path is no path, whatever the method', async () => {
    for (const method of ['GET', 'POST', 'OPTIONS'])
      await denied({ method, path: '', host: 'open.example' }, 'path_ambiguous');
    await denied({ method: 'OPTIONS', path: '*', host: 'open.example' }, 'path_ambiguous');
  });
  test('allows the same request without the upgrade', async () => {
    expectAllowed(await bench.ask({ raw: [['connection', 'keep-alive']] }));
  });
  test('where a protocol is listed, policies decide on it, and on no other', async () => {
    await using open = await startBench({ decision: { timeout_ms: 2000, upgrades: ['websocket'] } });
    expectAllowed(await open.ask(upgrade('WebSocket')));
    expectDenied(await open.ask({ ...upgrade('websocket'), path: '/people' }), ...NOT_PERMITTED);
    expectDenied(await open.ask(upgrade('websocket', 'h2c')), 'upgrade_refused');
    const extended = { method: 'CONNECT', raw: [[':protocol', 'websocket']] } as const;
    expectAllowed(await open.ask(extended));
    expectDenied(await open.ask({ ...extended, path: '' }), 'path_ambiguous');
    expectDenied(await open.ask({ method: 'CONNECT', path: '' }), 'upgrade_refused');
  });
  test('a protocol that could never match refuses to start', async () => {
    for (const upgrades of [['WebSocket'], [''], ['web socket'], 'websocket'])
      await expect(startBench({ decision: { upgrades } })).rejects.toThrow(/upgrades/);
  });
});

flawClass(25, 'gRPC', () => {
  const fields = (count: number, name: (index: number) => string): Question => ({
    raw: Array.from({ length: count }, (_, index) => [name(index), 'x'] as const),
  });

  test('denies more header fields than an honest client sends, of one name or of many', async () => {
    await denied(
      fields(201, (index) => `x-${index}`),
      'header_ambiguous',
    );
    await denied(
      fields(201, () => 'x-same'),
      'header_ambiguous',
    );
    expectAllowed(await bench.ask(fields(100, (index) => `x-${index}`)));
  });
  test('denies a message that is too large, without an error of the call', async () => {
    await denied({ raw: [['x-large', 'x'.repeat(66_000)]] }, 'request_malformed');
    await denied({ httpBytes: wireField(12, Buffer.alloc(200_000)) }, 'request_malformed');
    expectAllowed(await bench.ask({ raw: [['x-large', 'x'.repeat(30_000)]] }));
  });
  test('denies a path and a host that are too long', async () => {
    await denied({ path: `/public/${'a'.repeat(8192)}` }, 'path_ambiguous');
    await denied({ host: `${'a'.repeat(300)}.example` }, 'host_ambiguous');
  });
  test('denies metadata that is nested too deep to read', async () => {
    let struct: Buffer = Buffer.alloc(0);
    for (let depth = 0; depth < 2000; depth += 1)
      struct = wireField(
        1,
        Buffer.concat([wireField(1, Buffer.from('k')), wireField(2, wireField(5, struct))]),
      );
    const metadata = wireField(
      11,
      wireField(1, Buffer.concat([wireField(1, Buffer.from('ns')), wireField(2, struct)])),
    );
    await denied({ path: '/metadata', attributeBytes: metadata }, 'request_malformed');
    expectAllowed(await bench.ask({ attributeBytes: wireField(11, Buffer.alloc(0)) }));
  });
  test('denies metadata and claims of more values than anybody needs', async () => {
    const values = Array.from({ length: 6000 }, () => ({ boolValue: true }));
    const filterMetadata = {
      'envoy.filters.http.jwt_authn': { fields: { verified: { listValue: { values } } } },
    };
    await denied(
      { path: '/metadata', attributes: { metadataContext: { filterMetadata } } },
      'attribute_refused',
    );
    const token = await bench.issuer.sign({ many: Array.from({ length: 6000 }, () => 1) });
    await denied({ path: '/people', token }, 'token_malformed', 'token_claims_refused');
  });
  test('denies claims nested too deep and tokens too long', async () => {
    const nested = `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`;
    const now = Math.floor(Date.now() / 1000);
    const head = `{"iss":"${bench.issuer.issuer}","aud":"app","sub":"alice","iat":${now},"exp":${now + 60},"x":`;
    await denied(
      { path: '/people', token: await bench.issuer.signRaw(`${head}${nested}}`) },
      'token_malformed',
      'token_claims_refused',
    );
    const token = await bench.issuer.sign({ long: 'x'.repeat(40_000) });
    await denied({ path: '/people', token }, 'token_malformed', 'token_claims_refused');
  });
  test.each([
    '/envoy.service.auth.v3.Authorization/Check',
    '/pdp.v1.DecisionService/Check',
    '/grpc.health.v1.Health/Check',
    '/grpc.health.v1.Health/Watch',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  ])('keeps nothing of a message of %s that never ends', async (path) => {
    const session = http2.connect(`http://${bench.app.addresses.grpc}`);
    try {
      const kind = { 'content-type': 'application/grpc', te: 'trailers' };
      const streams = Array.from({ length: 20 }, () => {
        const stream = session.request({ ':method': 'POST', ':path': path, ...kind });
        stream.on('error', () => undefined).resume();
        stream.write(Buffer.concat([Buffer.from([0, 0, 2, 0, 0]), Buffer.alloc(60_000)]));
        return stream;
      });
      await Promise.all(streams.map((stream) => once(stream, 'close')));
    } finally {
      session.destroy();
    }
    expectAllowed(await bench.ask({}));
  });
});

flawClass(26, 'gRPC', () => {
  const KEYS = [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    '__entity',
    '__extn',
    '__expr',
  ];
  const jwtAuthn = 'envoy.filters.http.jwt_authn';
  const metadata = (fields: Readonly<Record<string, object>>): Question => ({
    path: '/metadata',
    attributes: { metadataContext: { filterMetadata: { [jwtAuthn]: { fields } } } },
  });
  const struct = (fields: object): object => ({ structValue: { fields } });
  /** An own property, as `JSON.parse` makes it. */
  const named = (key: string, value: object): Record<string, object> => Object.fromEntries([[key, value]]);

  test('the honest metadata is read', async () => {
    expectAllowed(await bench.ask(metadata({ verified: struct({ admin: { boolValue: true } }) })));
    await denied(metadata({ verified: struct({ admin: { boolValue: false } }) }), ...NOT_PERMITTED);
  });
  test.each(KEYS)('%s in metadata gives nothing, and pollutes nothing', async (key) => {
    const admin = struct({ admin: { boolValue: true }, verified: struct({ admin: { boolValue: true } }) });
    await denied(metadata(named(key, admin)), ...NOT_PERMITTED, 'attribute_refused');
    await denied(metadata({ verified: struct(named(key, admin)) }), ...NOT_PERMITTED, 'attribute_refused');
    const filterMetadata = named(key, { fields: { verified: admin } });
    await denied(
      { path: '/metadata', attributes: { metadataContext: { filterMetadata } } },
      ...NOT_PERMITTED,
      'attribute_refused',
    );
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect((Object.create({}) as { admin?: unknown; verified?: unknown }).admin).toBeUndefined();
    await denied({ path: '/metadata' }, ...NOT_PERMITTED);
  });
  test.each(KEYS)('%s as an extension or a header is a name like any other', async (key) => {
    await denied({ path: '/route', extensions: Object.fromEntries([[key, 'known']]) }, ...NOT_PERMITTED);
    const exchange = await bench.ask({
      path: '/route',
      extensions: Object.fromEntries([
        [key, 'x'],
        ['route', 'known'],
      ]),
    });
    expectAllowed(exchange);
    expectAllowed(await bench.ask({ raw: [[key.toLowerCase(), 'x']] }));
    expectAllowed(await bench.ask({ joined: Object.fromEntries([[key.toLowerCase(), 'x']]) }));
  });
  test.each(KEYS)('%s in a signed claim gives nothing', async (key) => {
    expectAllowed(await bench.ask({ path: '/role', token: await bench.issuer.sign({ role: 'admin' }) }));
    const now = Math.floor(Date.now() / 1000);
    const claims = `"iss":"${bench.issuer.issuer}","aud":"app","sub":"bob","iat":${now},"exp":${now + 60}`;
    const payload = `{${claims},"${key}":{"role":"admin","sub":"alice"}}`;
    const token = await bench.issuer.signRaw(payload);
    for (const path of ['/role', '/people'])
      await denied({ path, token }, ...NOT_PERMITTED, 'token_malformed', 'token_claims_refused');
  });
});

flawClass(28, 'gRPC', () => {
  const body = Buffer.from('{"amount":1,"secret":"swordfish"}');

  test('decides alike with a whole body, a partial one and none, and records none', async () => {
    for (const raw of [
      [],
      [['x-envoy-auth-partial-body', 'false']],
      [['x-envoy-auth-partial-body', 'true']],
    ] as const)
      for (const httpBytes of [Buffer.alloc(0), wireField(11, body), wireField(12, body)]) {
        const exchange = await bench.ask({ raw, httpBytes });
        expectAllowed(exchange);
        expect(JSON.stringify(exchange.record)).not.toContain('swordfish');
        await denied({ path: '/people', raw, httpBytes }, ...NOT_PERMITTED);
      }
  });
  test('no policy can read a body: one that asks for it is never satisfied', async () => {
    await denied(
      { path: '/body', httpBytes: Buffer.concat([wireField(11, body), wireField(12, body)]) },
      ...NOT_PERMITTED,
    );
  });
});
