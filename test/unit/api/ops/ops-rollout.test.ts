import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openGate } from '../../../../src/api/ops/ops-admin.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { type Rollout, startOpsServer } from '../../../../src/api/ops/ops.ts';
import { shadowPage } from '../../../../src/api/ops/shadow-page.ts';
import { InputError, PdpError } from '../../../../src/pdp/errors.ts';
import type { ShadowReport, ShadowRow } from '../../../../src/pdp/shadow-report.ts';

const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
const DIGEST = `sha256:${'0'.repeat(64)}`;
const bearer = { authorization: `Bearer ${TOKEN}` };
const row = (changes: Partial<ShadowRow> = {}): ShadowRow => ({
  outcome: 'would_lose',
  principal: 'ZeroTrust::User::"demo/alice"',
  action: 'ZeroTrust::Action::"GET"',
  resource_type: 'ZeroTrust::Endpoint',
  policies: ['a', 'b'],
  was: 'ALLOW permitted',
  would_be: 'DENY policy_forbids',
  count: 3,
  example: 'id-1',
  ...changes,
});
const REPORT: ShadowReport = {
  candidate: DIGEST,
  active: `sha256:${'1'.repeat(64)}`,
  since: '2026-01-01T00:00:00.000Z',
  compared: 10,
  skipped: 2,
  outcomes: { unchanged: 6, reclassified: 0, would_gain: 1, would_lose: 3, failed: 0 },
  rows: [row(), row({ outcome: 'would_gain', count: 1, policies: [] })],
  truncated: false,
};

let folder: string;
let asked: string[];
let fault: unknown;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pdp-ops-'));
  asked = [];
  fault = undefined;
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
});

/** `null`: none is configured. */
interface Setup {
  readonly token?: string | null;
  readonly onLoopback?: boolean;
  readonly shadow?: ShadowReport | null;
}

async function open({ token = TOKEN, onLoopback = true, shadow = REPORT }: Setup = {}) {
  const tokenFile = join(folder, 'token');
  if (token !== null) writeFileSync(tokenFile, `${token}\n`);
  const swap = (verb: string) => (digest: string | undefined) => {
    asked.push(`${verb} ${digest ?? 'any'}`);
    return fault === undefined ? Promise.resolve({ by: verb }) : Promise.reject(fault);
  };
  const rollout: Rollout = {
    policies: () => ({ enforced: 'sets' }),
    shadow: () => shadow ?? undefined,
    promote: swap('promote'),
    rollback: swap('rollback'),
  };
  const ops = await startOpsServer({
    address: '127.0.0.1:0',
    clock: MACHINE_CLOCK,
    readiness: () => ({ ready: true, problems: [], details: {} }),
    metrics: () => Promise.resolve({ contentType: 'text/plain', body: '' }),
    rollout,
    gate: openGate(token === null ? undefined : tokenFile, onLoopback),
  });
  onTestFinished(() => ops[Symbol.asyncDispose]());
  const call = async (path: string, init?: RequestInit) => {
    const answer = await fetch(`http://${ops.address}${path}`, init);
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
  const post = (path: string, body?: string, headers: Record<string, string> = bearer) =>
    call(path, { method: 'POST', headers, ...(body !== undefined && { body }) });
  return { ops, call, post, tokenFile };
}

test('shows both slots to anybody who reaches it', async () => {
  const { call } = await open();
  expect(await call('/policies')).toMatchObject({ status: 200, text: '{"enforced":"sets"}\n' });
});

describe.each(['promote', 'rollback'])('%s', (verb) => {
  const path = `/policies/${verb}`;

  test('is done with the token, for the digest that is named', async () => {
    const { post } = await open();
    expect(await post(path)).toMatchObject({ status: 200, text: `{"by":"${verb}"}\n` });
    await post(path, '');
    await post(path, '{}');
    await post(path, JSON.stringify({ digest: DIGEST }));
    await post(path, '{}', { authorization: `bearer  ${TOKEN}` });
    expect(asked).toEqual([...Array<string>(3).fill(`${verb} any`), `${verb} ${DIGEST}`, `${verb} any`]);
  });

  test.each<[string, Record<string, string>, number, RegExp]>([
    ['no credentials', {}, 401, /needs the admin token/],
    ['another scheme', { authorization: `Token ${TOKEN}` }, 401, /needs the admin token/],
    ['Basic, which a browser sends unasked', { authorization: `Basic ${btoa(`x:${TOKEN}`)}` }, 401, /needs/],
    ['two values', { authorization: `Bearer ${TOKEN} ${TOKEN}` }, 401, /needs/],
    ['another token', { authorization: `Bearer ${TOKEN}x` }, 403, /not the admin token/],
    ['part of the token', { authorization: `Bearer ${TOKEN.slice(0, -1)}` }, 403, /not the admin token/],
  ])('is refused with %s', async (_what, headers, status, words) => {
    const { post } = await open();
    const answer = await post(path, '{}', headers);
    expect([answer.status, answer.text]).toEqual([status, expect.stringMatching(words)]);
    if (status === 401) expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="cedar-pdp ops"');
    expect(asked).toEqual([]);
  });

  test('is not there where no token is configured', async () => {
    const { post } = await open({ token: null });
    expect(await post(path)).toMatchObject({ status: 404, text: expect.stringMatching(/admin_token_file/) });
    expect(asked).toEqual([]);
  });

  test.each([
    ['no JSON', '{'],
    ['an array', '[]'],
    ['null', 'null'],
    ['another key', '{"digset":"x"}'],
    ['a digest that is none', '{"digest":"sha256:0"}'],
    ['a digest of another type', '{"digest":1}'],
  ])('is refused with a body that is %s', async (_what, body) => {
    const { post } = await open();
    expect(await post(path, body)).toMatchObject({
      status: 400,
      text: expect.stringMatching(/the body must be/),
    });
    expect(asked).toEqual([]);
  });

  test('is refused with a body of more than a KiB, told or not', async () => {
    const { ops, post } = await open();
    expect(await post(path, ' '.repeat(1025))).toMatchObject({ status: 413 });
    const status = await new Promise((resolve, reject) => {
      const chunked = httpRequest(
        `http://${ops.address}${path}`,
        { method: 'POST', headers: bearer },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      );
      chunked.on('error', reject);
      for (let n = 0; n < 5; n++) chunked.write(' '.repeat(500));
      chunked.end();
    });
    expect(status).toBe(413);
    expect(asked).toEqual([]);
  });

  test.each<[number, unknown, string]>([
    [
      409,
      new PdpError('policies_unavailable', 'there is nothing to roll back to'),
      'there is nothing to roll back to\n',
    ],
    [
      503,
      new PdpError('audit_unavailable', 'the decision log cannot be written'),
      'the decision log cannot be written\n',
    ],
    [500, new PdpError('internal', 'cannot be remembered'), 'cannot be remembered\n'],
    [500, new Error('SECRET'), 'internal error\n'],
  ])('answers %d where it cannot be', async (status, thrown, text) => {
    const { post } = await open();
    fault = thrown;
    expect(await post(path)).toMatchObject({ status, text });
  });

  test('is no GET', async () => {
    const answer = await (await open()).call(path, { headers: bearer });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

test('the token can be changed while serving, and one that went away lets nobody in', async () => {
  const { post, tokenFile } = await open();
  writeFileSync(tokenFile, TOKEN.toUpperCase());
  expect((await post('/policies/promote')).status).toBe(403);
  expect(
    (await post('/policies/promote', '', { authorization: `Bearer ${TOKEN.toUpperCase()}` })).status,
  ).toBe(200);
  writeFileSync(tokenFile, '');
  expect((await post('/policies/promote', '', { authorization: 'Bearer ' })).status).toBe(401);
  rmSync(tokenFile);
  expect((await post('/policies/promote')).status).toBe(403);
});

test.each([
  ['too short', 'short', /fewer than 32 characters/],
  ['not there', undefined, /cannot be read/],
])('does not start with a token that is %s', (_what, text, words) => {
  const file = join(folder, 'other');
  if (text !== undefined) writeFileSync(file, text);
  expect(() => openGate(file, true)).toThrow(words);
  expect(() => openGate(file, true)).toThrow(InputError);
});

describe.each(['/shadow', '/shadow.html'])('%s', (path) => {
  test.each<[string, Setup, Record<string, string>, number]>([
    ['with the token', {}, bearer, 200],
    ['with the token as a browser sends it', {}, { authorization: `Basic ${btoa(`me:${TOKEN}`)}` }, 200],
    ['without it', {}, {}, 401],
    ['with another', {}, { authorization: `Basic ${btoa(`me:${TOKEN}x`)}` }, 403],
    ['where no candidate is configured', { shadow: null }, bearer, 404],
  ])('%s', async (_what, options, headers, status) => {
    expect((await (await open(options)).call(path, { headers })).status).toBe(status);
  });

  test('where no token is configured is for loopback only', async () => {
    const { call } = await open({ token: null });
    expect((await call(path)).status).toBe(200);
    const elsewhere = await open({ token: null, onLoopback: false });
    expect(await elsewhere.call(path)).toMatchObject({
      status: 403,
      text: expect.stringMatching(/names people/),
    });
  });
});

test('the report is JSON as it is', async () => {
  const answer = await (await open()).call('/shadow', { headers: bearer });
  expect(JSON.parse(answer.text)).toEqual(REPORT);
});

describe('the page', () => {
  test('needs nothing else and may run nothing', async () => {
    const { text, headers } = await (await open()).call('/shadow.html', { headers: bearer });
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'/);
    expect(text).not.toMatch(/<script|<link|<img|src=|href=|url\(/);
    expect(text.match(/<rect /g)).toHaveLength(10);
    expect(text).toMatch(/would lose access[\s\S]*ZeroTrust::User::&quot;demo\/alice&quot;/);
    expect(text).toContain('2 checks were not compared');
  });

  test('tells of no change, and of more than it holds', () => {
    const outcomes = { unchanged: 0, reclassified: 0, would_gain: 0, would_lose: 0, failed: 0 };
    const empty = shadowPage({ since: 'x', compared: 0, skipped: 0, outcomes, rows: [], truncated: true });
    expect(empty).not.toContain('NaN');
    expect(empty).toContain('none loaded');
    expect(empty).toContain('more kinds of change');
  });

  test('escapes everything that comes from a request or a policy', () => {
    const hostile = fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', 'x', '/', '\u0000', '\n') });
    fc.assert(
      fc.property(hostile, hostile, (a, b) => {
        const page = shadowPage({
          ...REPORT,
          rows: [
            row({
              principal: a,
              action: b,
              resource_type: a,
              policies: [b],
              was: a,
              would_be: b,
              example: a,
            }),
          ],
        });
        const tags =
          page.match(/<[^>]*>/g)?.map((tag) => tag.replace(/^<\/?([a-z0-9!]+)[\s\S]*$/, '$1')) ?? [];
        const known = [
          '!doctype',
          'html',
          'head',
          'meta',
          'title',
          'style',
          'body',
          'h1',
          'h2',
          'p',
          'code',
          'br',
          'svg',
          'text',
          'rect',
          'table',
          'thead',
          'tbody',
          'tr',
          'th',
          'td',
          'span',
          '!',
        ];
        expect(tags.filter((tag) => !known.includes(tag))).toEqual([]);
        expect(page).not.toContain('\u0000');
      }),
    );
  });
});
