import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Bench,
  NOT_PERMITTED,
  type Question,
  expectAllowed,
  expectDenied,
  startBench,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';
import { PATH_VECTORS, type PathVector } from './path-vectors.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const vectorsOf = (number: number): readonly PathVector[] =>
  PATH_VECTORS.filter((vector) => vector.flaw === number);

/** Refused whether policies name what is permitted or what is forbidden, and whoever sends it. */
async function expectAmbiguous(path: string): Promise<void> {
  for (const host of ['app.example', 'open.example']) {
    const exchange = await bench.ask({ path, host });
    expectDenied(exchange, 'path_ambiguous');
    expect(exchange.record).toBeDefined();
    expect(exchange.record).not.toHaveProperty('path');
  }
}

/** The neighbour without the attack, under both kinds of policies. */
async function expectPlainAllowed(): Promise<void> {
  for (const host of ['app.example', 'open.example']) {
    const exchange = await bench.ask({ path: '/public/page', host });
    expectAllowed(exchange);
    expect(exchange.record).toMatchObject({ path: '/public/page' });
  }
}

async function deniedBy(asked: Question, ...reasons: readonly string[]): Promise<unknown> {
  const exchange = await bench.ask(asked);
  expectDenied(exchange, ...reasons);
  return exchange.record['path'];
}

flawClass(1, 'gRPC', () => {
  test.each(vectorsOf(1))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
});

flawClass(2, 'gRPC', () => {
  test('decides on the path alone, whatever the query looks like', async () => {
    const exchange = await bench.ask({ path: '/public/page?next=//admin/../x;y%2f&z=%00%zz' });
    expectAllowed(exchange);
    expect(exchange.record).toMatchObject({ path: '/public/page' });
    expect(JSON.stringify(exchange.record)).not.toContain('next=');
  });
  test('a query does not move a path out of a rule for exactly that path', async () => {
    for (const path of ['/admin?', '/admin?x=1', '/admin?/public/page', '/admin/people?x?y']) {
      const decided = await deniedBy({ path, host: 'open.example' }, 'policy_forbids');
      expect(decided).toBe(path.slice(0, path.indexOf('?')));
    }
  });
  test('a query does not move a path into a permitted one', async () => {
    expect(await deniedBy({ path: '/x?/public/page' }, ...NOT_PERMITTED)).toBe('/x');
  });
  test('denies an encoded question mark, which a backend may or may not take for one', () =>
    expectAmbiguous('/public/page%3f/../../admin'));
});

flawClass(3, 'gRPC', () => {
  test.each(vectorsOf(3))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
  test('allows dots that are no segment of their own', async () => {
    for (const path of ['/public/...', '/public/.well-known', '/public/a..b', '/public/%2ehidden'])
      expectAllowed(await bench.ask({ path }));
  });
});

flawClass(4, 'gRPC', () => {
  test.each(vectorsOf(4))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
  test('has one form for all spellings of a resource', async () => {
    const spellings = ['/public/%7Ea%3ab', '/public/%7ea:b', '/public/~a%3Ab', '/public/~%61:b'];
    for (const path of spellings) {
      const exchange = await bench.ask({ path });
      expectAllowed(exchange);
      expect(exchange.record).toMatchObject({ path: '/public/~a:b' });
    }
  });
  test('a rule about a character holds for its escape', async () => {
    for (const path of ['/things/1:delete', '/things/1%3Adelete', '/things/1%3adele%74e'])
      expect(await deniedBy({ path, host: 'open.example' }, 'policy_forbids')).toBe('/things/1:delete');
  });
});

flawClass(5, 'gRPC', () => {
  test.each(vectorsOf(5))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
});

flawClass(6, 'gRPC', () => {
  test.each(vectorsOf(6))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
});

flawClass(8, 'gRPC', () => {
  test.each(vectorsOf(8))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
  test('takes a gRPC method by its one exact name', async () => {
    const call = (path: string): Question => ({
      method: 'POST',
      path,
      raw: [['content-type', 'application/grpc']],
    });
    expectAllowed(await bench.ask(call('/bank.Ledger/Post')));
    for (const path of ['/bank.Ledger/%50ost', '/bank.Ledger/Post?x', '/bank.Ledger/Post/', '/Post'])
      await deniedBy(call(path), 'path_ambiguous');
    await deniedBy(call('/bank.ledger/Post'), ...NOT_PERMITTED);
  });
});

flawClass(13, 'gRPC', () => {
  test.each(vectorsOf(13))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows the plain path', expectPlainAllowed);
  test.each([
    'app.example\0',
    'app.example\0.evil.example',
    'app.example\r\n',
    'app\x7f.example',
    '\tapp.example',
  ])('denies the host %j', async (host) => {
    await deniedBy({ host }, 'host_ambiguous');
  });
  test.each(['x-a\0', 'x-a\n', 'x-a\x7f', '\tx-a'])('denies the header name %j', async (name) => {
    await deniedBy({ raw: [[name, 'x']] }, 'header_ambiguous');
  });
  test('takes no identity with a control character in it', async () => {
    const good = 'spiffe://prod.example.com/ns/payments/sa/payment-api';
    expectAllowed(await bench.ask({ path: '/entries', principal: good }));
    for (const bad of [`${good}\0`, `${good}\0.evil`, `${good}\n`, good.replace('/sa', '\0/sa')])
      expectDenied(
        await bench.ask({ path: '/entries', principal: bad }),
        ...NOT_PERMITTED,
        'workload_evidence_invalid',
      );
  });
});

flawClass(14, 'gRPC', () => {
  test.each(vectorsOf(14))('denies $path', ({ path }) => expectAmbiguous(path));
  test('allows UTF-8 in escapes', async () => {
    const exchange = await bench.ask({ path: '/public/caf%c3%a9' });
    expectAllowed(exchange);
    expect(exchange.record).toMatchObject({ path: '/public/caf%C3%A9' });
  });
  test('is not misled by the repair of bytes that are not UTF-8', async () => {
    const repaired = '/public/page!';
    await deniedBy({ path: repaired, raw: [[':path', '/public/page\xff']] }, 'path_ambiguous');
    await deniedBy({ path: repaired, joined: { ':path': repaired } }, 'path_ambiguous');
    expectAllowed(await bench.ask({ path: repaired, raw: [[':path', repaired]] }));
  });
  test('bytes beyond UTF-8 in a header are no reason to fail, and no token', async () => {
    expectAllowed(await bench.ask({ raw: [['x-note', 'caf\xe9\xff']] }));
    await deniedBy({ raw: [['authorization', 'Bearer \xe9\xff']] }, 'token_malformed');
    await deniedBy({ joined: { authorization: 'Bearer !!' } }, 'token_malformed');
  });
  test('does not fold letters to others in hosts, names and identities', async () => {
    await deniedBy({ host: 'app.\u212axample' }, 'host_ambiguous');
    await deniedBy({ joined: { '\u212aookie': 'x' } }, 'header_ambiguous');
    expectAllowed(await bench.ask({ path: '/people', token: await bench.issuer.sign() }));
    for (const sub of ['\uff41lice', 'Alice', 'al\u0131ce', 'alice\u200b', 'alice@x@idp'])
      expectDenied(
        await bench.ask({ path: '/people', token: await bench.issuer.sign({ sub }) }),
        ...NOT_PERMITTED,
        'token_claims_refused',
      );
  });
});
