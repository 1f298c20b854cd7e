import { generateKeyPair, generateProof } from 'dpop';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';
import { openTokens } from '../../../src/compose/tokens.ts';
import type { UserAuthenticator } from '../../../src/pdp/ports.ts';
import { openRedisReplayStore } from '../../../src/pip/dpop/replay-store-redis.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { findRedisServer } from '../../support/parts.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { fingerprintOf, memoryLog, receivedOf, requestWith } from '../../unit/pip/fixture.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const AUD = 'https://api.example.com';
const HTU = 'https://api.example.com/accounts/1';

let redis: TestRedis;
let folder: string;
let idp: TestIssuer;
const stack = new AsyncDisposableStack();

/** One replica: everything as the composition root wires it, from a configuration. */
async function replica(url = redis.url, limits: object = {}): Promise<UserAuthenticator> {
  const config = ConfigSchema.parse({
    grpc: { plaintext: true },
    policies: { sets: ['p'] },
    issuers: [
      {
        name: 'staff',
        issuer: idp.issuer,
        audiences: [AUD],
        algorithms: ['ES256'],
        jwks: { file: join(folder, 'jwks.json') },
        binding: 'dpop',
      },
    ],
    tokens: {
      dpop: {
        origins: { 'api.example.com': 'https://api.example.com' },
        replay: { kind: 'redis', url, command_timeout_ms: 500, ...limits },
      },
    },
  });
  const parts = { clock: MACHINE_CLOCK, log: memoryLog() };
  return (await openTokens(config.issuers, config.tokens, parts, stack)).user;
}

async function client() {
  const pair = await generateKeyPair('ES256');
  const token = await idp.sign({
    cnf: { jkt: await calculateJwkThumbprint(await exportJWK(pair.publicKey)) },
  });
  return { token, prove: () => generateProof(pair, HTU, 'GET', undefined, token) };
}

function send(user: UserAuthenticator, token: string, proof: string) {
  const headers: [string, string][] = [
    ['authorization', `DPoP ${token}`],
    ['dpop', proof],
  ];
  const received = receivedOf(requestWith({ headers }), Date.now());
  return user.authenticate({ ...received, canonical: { ...received.canonical, path: '/accounts/1' } }, {});
}

describe.skipIf(findRedisServer() === undefined)('DPoP with a replay store in a real Redis', () => {
  beforeAll(async () => {
    redis = await startRedis();
    stack.use(redis);
    folder = await mkdtemp(join(tmpdir(), 'pdp-dpop-'));
    stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
    idp = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD });
    await writeFile(join(folder, 'jwks.json'), JSON.stringify(idp.jwks));
  });
  afterAll(() => stack.disposeAsync());

  test('takes a proof once, on whichever replica, and the next proof again', async () => {
    const [one, two] = [await replica(), await replica()];
    const { token, prove } = await client();
    const proof = await prove();
    expect(await send(one, token, proof)).toMatchObject({ id: 'staff/alice' });
    for (const user of [one, two])
      expect(await send(user, token, proof)).toMatchObject({
        refusal: 'dpop_proof_invalid',
        detail: 'the proof has been used before',
      });
    expect(await send(two, token, await prove())).toMatchObject({ id: 'staff/alice' });
  });

  test('lets one of many through where replicas get the same proof at once', async () => {
    const replicas = await Promise.all([replica(), replica(), replica()]);
    const { token, prove } = await client();
    const proof = await prove();
    const answers = await Promise.all(
      Array.from(
        { length: 30 },
        async (_, index) => await send(replicas[index % 3] ?? replicas[0], token, proof),
      ),
    );
    expect(answers.filter((answer) => answer !== undefined && 'id' in answer)).toHaveLength(1);
  });

  test('takes so many proofs of one key in a window, on all replicas together, and those of other keys still', async () => {
    const replicas = [
      await replica(redis.url, { max_per_key: 5 }),
      await replica(redis.url, { max_per_key: 5 }),
    ];
    const { token, prove } = await client();
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const user = replicas[index % 2];
        return user && (await send(user, token, await prove()));
      }),
    );
    expect(answers.filter((answer) => answer !== undefined && 'id' in answer)).toHaveLength(5);
    expect(answers.filter((answer) => answer !== undefined && 'refusal' in answer)).toEqual(
      Array.from({ length: 7 }, () => expect.objectContaining({ refusal: 'overloaded' }) as object),
    );
    const another = await client();
    for (const user of replicas)
      expect(await send(user, another.token, await another.prove())).toMatchObject({ id: 'staff/alice' });
  });

  test('checks the proof of a token that is known already', async () => {
    const user = await replica();
    const { token, prove } = await client();
    expect(await send(user, token, await prove())).toMatchObject({ id: 'staff/alice' });
    expect(await send(user, token, 'a.b.c')).toMatchObject({
      refusal: 'dpop_proof_invalid',
      evidence: fingerprintOf('a.b.c'),
    });
    const thief = await client();
    expect(await send(user, token, await thief.prove())).toMatchObject({ refusal: 'dpop_proof_invalid' });
  });

  test('keeps nothing of proof or token in Redis, and lets it go after the window', async () => {
    const user = await replica();
    const { token, prove } = await client();
    const before = new Set(await redis.client.keys('pdp:dpop:*'));
    await send(user, token, await prove());
    const added = (await redis.client.keys('pdp:dpop:*')).filter((name) => !before.has(name));
    expect(added.sort((one, two) => one.length - two.length)).toEqual([
      expect.stringMatching(/^pdp:dpop:\{[\w-]{43}\}$/),
      expect.stringMatching(/^pdp:dpop:\{[\w-]{43}\}[\w-]{43}$/),
    ]);
    for (const key of added) {
      expect(await redis.client.get(key)).toBe('1');
      const ttl = await redis.client.pttl(key);
      expect(ttl).toBeGreaterThan(60_000);
      expect(ttl).toBeLessThanOrEqual(76_000);
    }
  });

  test('refuses while Redis is down, slow, or starts without what it knew, and goes on when it is back', async () => {
    const own = await startRedis({ exclusive: true });
    const user = await replica(own.url);
    const { token, prove } = await client();
    expect(await send(user, token, await prove())).toMatchObject({ id: 'staff/alice' });
    own.pause();
    expect(await send(user, token, await prove())).toMatchObject({
      refusal: 'token_unverifiable',
      detail: expect.stringContaining('whether the DPoP proof is new cannot be told') as string,
    });
    own.resume();
    await eventually('Redis answers again', async () => {
      const answer = await send(user, token, await prove());
      return answer !== undefined && 'id' in answer ? true : undefined;
    });
    await own.stop();
    await eventually('the connection is lost', async () => {
      const answer = await send(user, token, await prove());
      return answer !== undefined && 'refusal' in answer ? answer : undefined;
    });
    expect(await send(user, token, await prove())).toMatchObject({ refusal: 'token_unverifiable' });
    const back = await startRedis({ exclusive: true, port: own.port });
    await eventually('Redis is back', async () => {
      const answer = await send(user, token, await prove());
      return answer !== undefined && 'id' in answer ? true : undefined;
    });
    await back[Symbol.asyncDispose]();
    await own[Symbol.asyncDispose]();
  });

  test('does not keep the process from starting where Redis is not there', async () => {
    const store = await openRedisReplayStore({
      url: 'redis://127.0.0.1:1',
      keyPrefix: 'x:',
      windowMs: 1000,
      maxPerOwner: 10,
      commandTimeoutMs: 20,
      log: memoryLog(),
    });
    await expect(store.remember('k', 'o')).rejects.toThrow('not connected');
    await store[Symbol.asyncDispose]();
  });
});
