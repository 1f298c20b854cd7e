import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openTokenCheck, openGate } from '../../../../src/api/ops/ops-admin.ts';
import { startOpsServer } from '../../../../src/api/ops/ops.ts';
import { type RevocationRouteParts, revocationRoutes } from '../../../../src/api/ops/revocations.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { readSubject } from '../../../../src/pip/revocation/read-subject.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';

const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
const bearer = { authorization: `Bearer ${TOKEN}` };
const WEB = 'spiffe://prod.example.com/ns/shop/sa/web';
const alice = { kind: 'user', id: 'idp/alice' };
const good = { subject: alice, action: 'revoke', reason: 'stolen' };

async function open({ withToken = true, fault }: { withToken?: boolean; fault?: Error } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-revocations-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
  const file = join(folder, 'token');
  writeFileSync(file, `${TOKEN}\n`);
  const done: unknown[] = [];
  const pages: unknown[] = [];
  const parts: RevocationRouteParts = {
    admin: {
      list: (limit, after) => {
        pages.push([limit, after]);
        return { revocations: [] };
      },
      change: (change, by) => {
        done.push([change, by]);
        return fault ? Promise.reject(fault) : Promise.resolve({ in_force: [] });
      },
    },
    isAdmin: () => false,
    isShutOff: () => false,
    ...(withToken && { token: openTokenCheck(file) }),
    readSubject: (value) => readSubject(value, parseSpiffeId),
  };
  const ops = await startOpsServer({
    address: '127.0.0.1:0',
    clock: MACHINE_CLOCK,
    readiness: () => ({ ready: true, problems: [], details: {} }),
    metrics: () => Promise.resolve({ contentType: 'text/plain', body: '' }),
    rollout: {
      policies: () => ({}),
      shadow: () => undefined,
      promote: () => Promise.resolve({}),
      rollback: () => Promise.resolve({}),
    },
    gate: openGate(undefined, true),
    more: revocationRoutes(parts),
  });
  onTestFinished(() => ops[Symbol.asyncDispose]());
  const call = async (path: string, init: RequestInit = { headers: bearer }) => {
    const answer = await fetch(`http://${ops.address}${path}`, init);
    return { status: answer.status, text: (await answer.text()).trim(), headers: answer.headers };
  };
  const post = (body: unknown, headers: Record<string, string> = bearer) =>
    call('/revocations', {
      method: 'POST',
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { call, post, done, pages, file };
}

describe('who may', () => {
  test('nobody, without a token of its own', async () => {
    const { call, post, done } = await open({ withToken: false });
    expect(await call('/revocations')).toMatchObject({
      status: 404,
      text: expect.stringContaining('nobody'),
    });
    expect(await post(good)).toMatchObject({ status: 404 });
    expect(done).toEqual([]);
  });

  test.each<[string, Record<string, string>, number]>([
    ['no credentials', {}, 401],
    ['another token', { authorization: `Bearer ${TOKEN}x` }, 403],
    ['Basic, which a browser sends unasked', { authorization: `Basic ${btoa(`x:${TOKEN}`)}` }, 401],
  ])('not %s, for reading neither', async (_what, headers, status) => {
    const { call, post, done, pages } = await open();
    expect((await post(good, headers)).status).toBe(status);
    expect((await call('/revocations', { headers })).status).toBe(status);
    expect([...done, ...pages]).toEqual([]);
  });

  test('whoever has the token, which may change while we serve', async () => {
    const { post, done, file } = await open();
    expect((await post(good)).status).toBe(200);
    writeFileSync(file, `another-${TOKEN}`);
    expect((await post(good)).status).toBe(403);
    writeFileSync(file, 'short');
    expect((await post(good, { authorization: 'Bearer short' })).status).toBe(403);
    expect(done).toHaveLength(1);
  });
});

describe('a change', () => {
  test.each<[string, object, object]>([
    ['of one subject', good, { action: 'revoke', subjects: [alice], reason: 'stolen' }],
    [
      'of several together',
      { ...good, subject: undefined, subjects: [alice, { kind: 'email', id: 'idp/A@B.C' }] },
      { subjects: [alice, { kind: 'email', id: 'idp/a@b.c' }] },
    ],
    [
      'that ends by itself',
      { action: 'shut_off', subject: { kind: 'workload', id: WEB }, for_s: 60, reason: 'x' },
      { action: 'shut_off', forS: 60 },
    ],
    ['that lifts', { ...good, action: 'restore' }, { action: 'restore' }],
  ])('%s is made', async (_what, body, change) => {
    const { post, done } = await open();
    expect(await post(body)).toMatchObject({ status: 200, text: '{"in_force":[]}' });
    expect(done).toMatchObject([[change, expect.stringMatching(/^the admin token at 127\.0\.0\.1:\d+$/)]]);
  });

  test.each<[string, unknown, RegExp]>([
    ['nothing', '', /must be a JSON object/],
    ['a list', [], /must be a JSON object/],
    ['a reserved key', '{"__proto__":1}', /reserved/],
    ['no reason', { ...good, reason: undefined }, /a reason is needed/],
    ['an empty reason', { ...good, reason: ' ' }, /a reason is needed/],
    ['a reason of two lines', { ...good, reason: 'a\nb' }, /one line/],
    ['a reason that is too long', { ...good, reason: 'x'.repeat(501) }, /at most 500/],
    ['no subject', { ...good, subject: undefined }, /needs `subject`/],
    ['both', { ...good, subjects: [alice] }, /needs `subject`, or/],
    ['no subjects', { ...good, subject: undefined, subjects: [] }, /1 to 7/],
    ['too many', { ...good, subject: undefined, subjects: Array.from({ length: 8 }, () => alice) }, /1 to 7/],
    ['one twice', { ...good, subject: undefined, subjects: [alice, alice] }, /there twice/],
    ['another kind', { ...good, subject: { kind: 'group', id: 'idp/a' } }, /'kind' among/],
    ['no id', { ...good, subject: { kind: 'user' } }, /needs an 'id'/],
    ['an id without an issuer', { ...good, subject: { kind: 'user', id: 'alice' } }, /<issuer name>\/<sub>/],
    [
      'a workload that is none',
      { ...good, action: 'shut_off', subject: { kind: 'workload', id: 'x' } },
      /SPIFFE/,
    ],
    [
      'a workload that is to be revoked',
      { ...good, subject: { kind: 'workload', id: WEB } },
      /use the action shut_off/,
    ],
    ['a reason that nobody sees', { ...good, reason: '\u200b' }, /a reason is needed/],
    ['a reason that turns around', { ...good, reason: 'stolen \u202Elaptop' }, /reason must be one line/],
    ['another action', { ...good, action: 'delete' }, /action must be one of revoke, shut_off, restore/],
    ['an end of what does not end', { ...good, for_s: 60 }, /for_s is for the action shut_off only/],
    ['an end that is none', { ...good, action: 'shut_off', for_s: 0 }, /whole number of seconds/],
    ['an end that is far', { ...good, action: 'shut_off', for_s: 1e9 }, /whole number of seconds/],
    ['an unknown key', { ...good, until: 'x' }, /unknown key 'until'/],
  ])('with %s is refused in words', async (_what, body, words) => {
    const { post, done } = await open();
    const answer = await post(body);
    expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(words)]);
    expect(done).toEqual([]);
  });

  test('that is too big is refused', async () => {
    const { post } = await open();
    expect((await post({ ...good, reason: 'x'.repeat(17_000) })).status).toBe(413);
  });

  test('tells every problem at once', async () => {
    const { post } = await open();
    const { text } = await post({ subject: { kind: 'x' }, action: 'y' });
    expect(text.split('\n')).toHaveLength(3);
  });

  test.each([
    [new PdpError('state_unavailable', 'it may not be in force'), 503, 'it may not be in force'],
    [new PdpError('audit_unavailable', 'nothing was changed'), 503, 'nothing was changed'],
    [new Error('secret of ours'), 500, 'internal error'],
  ])('that cannot be made says so: %s', async (fault, status, words) => {
    const { post } = await open({ fault });
    expect(await post(good)).toMatchObject({ status, text: words });
  });

  test('whatever is sent, it is made as it was meant or refused', async () => {
    const { post, done } = await open();
    const body = fc.record(
      {
        subject: fc.oneof(
          fc.constant(alice),
          fc.record({ kind: fc.constantFrom('user', 'x'), id: fc.string() }),
        ),
        action: fc.constantFrom('revoke', 'shut_off', 'restore', 'x', 7),
        for_s: fc.oneof(fc.integer(), fc.double()),
        reason: fc.string(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(body, async (value) => {
        const before = done.length;
        const { status } = await post(value);
        expect([200, 400]).toContain(status);
        expect(done.length - before).toBe(status === 200 ? 1 : 0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the list', () => {
  test('comes in pages', async () => {
    const { call, pages } = await open();
    expect(await call('/revocations')).toMatchObject({ status: 200, text: '{"revocations":[]}' });
    await call(`/revocations?limit=7&after=${encodeURIComponent('17~off|user:1:a&b')}`);
    expect(pages).toEqual([
      [100, undefined],
      [7, { at: 17, key: 'off|user:1:a&b' }],
    ]);
  });

  test.each(['limit=0', 'limit=1001', 'limit=x', 'after=x', 'after=~'])('refuses %s', async (query) => {
    const { call } = await open();
    expect((await call(`/revocations?${query}`)).status).toBe(400);
  });

  test('other paths take no query, and other methods are refused', async () => {
    const { call } = await open();
    expect((await call('/livez?x')).status).toBe(404);
    expect((await call('/revocations?limit=1', { method: 'POST', headers: bearer })).status).toBe(405);
    const { status, headers } = await call('/revocations', { method: 'DELETE' });
    expect([status, headers.get('allow')]).toEqual([405, 'GET, POST']);
  });
});
