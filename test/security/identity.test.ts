import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { createTestIssuer } from '../support/tokens.ts';
import {
  type Bench,
  type Exchange,
  NOT_PERMITTED,
  PAYMENT_API,
  type Question,
  expectAllowed,
  expectDenied,
  startBench,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';

let bench: Bench;
let alice: string;
beforeAll(async () => {
  bench = await startBench();
  alice = await bench.issuer.sign();
});
afterAll(() => bench[Symbol.asyncDispose]());

async function denied(asked: Question, ...reasons: readonly string[]): Promise<Exchange> {
  const exchange = await bench.ask(asked);
  expectDenied(exchange, ...reasons);
  return exchange;
}

flawClass(20, 'gRPC', () => {
  const pair = (first: string, second: string): Question => ({
    path: '/pair',
    extensions: { first, second },
  });

  test('an answer is remembered for the same facts', async () => {
    expectAllowed(await bench.ask(pair('one', 'two')));
    const again = await bench.ask(pair('one', 'two'));
    expectAllowed(again);
    expect(again.record).toMatchObject({ cache: { hit: true } });
  });
  test('no two sets of facts share an answer, whatever delimiters they hold', async () => {
    const piece = fc.constantFrom(
      'one',
      'two',
      '|',
      ':',
      ',',
      '"',
      '","',
      '\\',
      '\0',
      '\n',
      '{',
      '}',
      '',
      ' ',
      'second',
    );
    const text = fc.oneof(
      fc.constantFrom('one', 'two'),
      fc.array(piece, { maxLength: 4 }).map((parts) => parts.join('')),
    );
    await fc.assert(
      fc.asyncProperty(text, text, async (first, second) => {
        const { allowed } = await bench.answer(pair(first, second));
        expect(allowed).toBe(first === 'one' && second === 'two');
      }),
      {
        numRuns: 400,
        examples: [
          ['one","second":"two', ''],
          ['one', 'two'],
          ['on', 'etwo'],
          ['', 'onetwo'],
        ],
      },
    );
  });
  test('an absent fact is not an empty one, and a fact of one name not that of another', async () => {
    expectAllowed(await bench.ask(pair('one', 'two')));
    for (const extensions of [
      { first: 'one' },
      { second: 'two' },
      { first: 'two', second: 'one' },
      { 'first\0': 'one' },
    ])
      await denied({ path: '/pair', extensions }, ...NOT_PERMITTED);
  });
  test('path and host, and subject and issuer, do not run into each other', async () => {
    expectAllowed(await bench.ask({ path: '/people', token: alice }));
    for (const sub of ['lice', 'idp/alice', 'alice/', '/alice'])
      await denied({ path: '/people', token: await bench.issuer.sign({ sub }) }, ...NOT_PERMITTED);
    expectAllowed(await bench.ask({ host: 'open.example', path: '/x' }));
    await denied({ host: 'open.example.x', path: '/' }, ...NOT_PERMITTED);
  });
});

flawClass(21, 'gRPC', () => {
  const people = (token: string): Question => ({ path: '/people', token });

  test('a token that was verified a moment ago ends with its expiry', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) + 2;
    const token = await bench.issuer.sign({ exp: expiresAt });
    expectAllowed(await bench.ask(people(token)));
    const { at, reason } = await eventually('the token is refused', async () => {
      const answer = await bench.answer(people(token));
      return answer.allowed ? undefined : { at: Date.now(), reason: answer.metadata['reason'] };
    });
    expect(reason).toBe('token_expired');
    expect(at).toBeGreaterThanOrEqual(expiresAt * 1000);
    expectAllowed(await bench.ask(people(alice)));
  });
  test('a token that was verified a moment ago ends with its key', async () => {
    await using own = await startBench();
    const token = await own.issuer.sign();
    expectAllowed(await own.ask(people(token)));
    const successor = await createTestIssuer({ ...own.issuer, kid: 'key-2' });
    await writeFile(own.jwksFile, JSON.stringify(successor.jwks));
    const reason = await eventually('the token is refused', async () => {
      const answer = await own.answer(people(token));
      return answer.allowed ? undefined : answer.metadata['reason'];
    });
    expect(['token_key_unknown', 'token_signature_invalid']).toContain(reason);
    expectAllowed(await own.ask(people(await successor.sign())));
  });
  test('a remembered permit is no permit for a bad token of the same user', async () => {
    expectAllowed(await bench.ask(people(alice)));
    expectAllowed(await bench.ask(people(alice)));
    const [head, body, signature = ''] = alice.split('.');
    await denied(
      people(`${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`),
      'token_signature_invalid',
      'token_malformed',
    );
    await denied(people(await bench.issuer.sign({ exp: 1 })), 'token_expired', 'token_claims_refused');
    await denied(people(await bench.issuer.sign({ aud: 'other' })), 'token_audience_wrong');
    await denied({ path: '/people' }, ...NOT_PERMITTED);
  });
});

flawClass(22, 'gRPC', () => {
  test.each([
    ['another audience', { aud: 'payroll' }],
    ['no audience', { aud: undefined }],
    ['an empty audience', { aud: [] }],
    ['an audience that begins like ours', { aud: 'app2' }],
    ['our audience in another case', { aud: 'APP' }],
    ['an audience that is no text', { aud: { app: true } }],
  ])('denies a token with %s', async (_what, claims) => {
    const token = await bench.issuer.sign(claims);
    await denied(
      { path: '/people', token },
      'token_audience_wrong',
      'token_claims_refused',
      'token_malformed',
    );
  });
  test('allows our audience, alone or among others', async () => {
    for (const aud of ['app', ['payroll', 'app']])
      expectAllowed(await bench.ask({ path: '/people', token: await bench.issuer.sign({ aud }) }));
  });
});

flawClass(27, 'gRPC', () => {
  test('an identity is not that of the next question on the same connection, stream id or route', async () => {
    expectAllowed(await bench.ask({ path: '/people', token: alice }));
    const { record } = await denied({ path: '/people' }, ...NOT_PERMITTED);
    expect(record).toBeDefined();
    expect(record).not.toHaveProperty('user');
    const bob = await bench.issuer.sign({ sub: 'bob' });
    expect((await denied({ path: '/people', token: bob }, ...NOT_PERMITTED)).record).toMatchObject({
      user: 'idp/bob',
    });
  });
  test('questions under way at once keep their identities apart', async () => {
    const bob = await bench.issuer.sign({ sub: 'bob' });
    const asked = Array.from({ length: 300 }, (_, index) => [alice, bob, undefined][index % 3]);
    const answers = await Promise.all(
      asked.map((token) => bench.answer({ path: '/people', ...(token !== undefined && { token }) })),
    );
    expect(answers.map(({ allowed }) => allowed)).toEqual(asked.map((token) => token === alice));
  });
  test('a fact of one route does not hold for another', async () => {
    expectAllowed(await bench.ask({ path: '/route', extensions: { route: 'known' } }));
    await denied({ path: '/route', extensions: { route: 'other' } }, ...NOT_PERMITTED);
    await denied({ path: '/route' }, ...NOT_PERMITTED);
    expectAllowed(await bench.ask({ path: '/entries', principal: PAYMENT_API }));
    await denied({ path: '/entries' }, ...NOT_PERMITTED);
  });
});
