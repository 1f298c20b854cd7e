import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { LEDGER_API, PAYMENT_API } from '../../support/requests.ts';

const request = (name: string) =>
  fileURLToPath(new URL(`../../../deploy/local/requests/${name}.json`, import.meta.url));
const ALLOWED = request('payment-api-posts-entry');
const DENIED = request('web-reads-entries');
const REPORT = request('quarterly-report');

let folder: ConfigFolder;
let app: App;

beforeAll(async () => {
  folder = await createConfigFolder();
  app = await startTestApp(folder);
});
afterAll(async () => {
  await app.stop();
  await folder[Symbol.asyncDispose]();
});

const token = async (...args: string[]) =>
  (await runPdp('demo', 'token', '--config', folder.configFile, ...args)).out.trim();
const ways: [string, () => string[]][] = [
  ['here', () => ['--config', folder.configFile]],
  ['at a server', () => [`--server=${app.addresses.grpc}`]],
];

describe.each(ways)('a check decided %s', (_where, where) => {
  const check = async (...args: string[]) => {
    const { code, out } = await runPdp('check', '--json', ...where(), ...args);
    return {
      code,
      ...(JSON.parse(out) as {
        decision: string;
        reason: string;
        http_status: number;
        policies: string[];
        message?: string;
        challenge?: string;
        decision_id: string;
        snapshot: string;
      }),
    };
  };

  test('that is allowed exits with 0', async () => {
    expect(await check(ALLOWED)).toMatchObject({
      code: 0,
      decision: 'ALLOW',
      http_status: 200,
      reason: 'permitted',
      policies: ['mesh.payment-api-posts-entries'],
      snapshot: app.policies.current()?.digest,
    });
  });

  test('that is denied exits with 1, and says why', async () => {
    expect(await check(DENIED)).toMatchObject({
      code: 1,
      decision: 'DENY',
      http_status: 403,
      reason: 'policy_forbids',
      message: 'source principal not allowed',
      policies: ['mesh.only-payment-api-reaches-the-ledger'],
    });
  });

  test('with a token has a user', async () => {
    expect(
      await check('--token', await token('--user', 'alice', '--mfa', '--device', 'laptop-1'), REPORT),
    ).toMatchObject({ code: 0, decision: 'ALLOW' });
  });

  test('that needs more says so', async () => {
    expect(
      await check('--token', await token('--user', 'alice', '--device', 'laptop-1'), REPORT),
    ).toMatchObject({ code: 1, http_status: 401, reason: 'step_up_required' });
  });

  test('with an expired token is 401', async () => {
    expect(await check('--token', await token('--user', 'alice', '--lifetime=-60'), REPORT)).toMatchObject({
      code: 1,
      http_status: 401,
      reason: 'token_expired',
    });
  });

  test('reads well without --json', async () => {
    const { out } = await runPdp('check', ...where(), DENIED);
    expect(out).toMatch(/^DENY {2}\(HTTP 403\)\n {2}reason +policy_forbids: source principal not allowed\n/);
  });
});

test('a server tells the challenge', async () => {
  const { out } = await runPdp(
    'check',
    '--json',
    `--server=${app.addresses.grpc}`,
    '--token',
    await token('--user', 'alice', '--device', 'laptop-1'),
    REPORT,
  );
  expect((JSON.parse(out) as { challenge: string }).challenge).toMatch(
    /^Bearer realm="cedar-pdp", error="insufficient_user_authentication".*acr_values="mfa"$/,
  );
});

test('a check decided here leaves no record, one at a server does', async () => {
  const before = await readRecords(folder.auditDir);
  await runPdp('check', '--config', folder.configFile, ALLOWED);
  expect(await readRecords(folder.auditDir)).toHaveLength(before.length);
  await runPdp('check', `--server=${app.addresses.grpc}`, ALLOWED);
  expect(await readRecords(folder.auditDir)).toHaveLength(before.length + 1);
  expect(await readdir(folder.auditDir)).not.toEqual([]);
});

test('--server takes its address after a space too', async () => {
  expect((await runPdp('check', '--server', app.addresses.grpc, ALLOWED)).code).toBe(0);
});

describe('a request file', () => {
  const good = {
    source: PAYMENT_API,
    destination: LEDGER_API,
    method: 'POST',
    path: '/internal/entries',
    host: 'h',
  };
  const check = async (content: string) => {
    const file = join(folder.path, 'request.json');
    await writeFile(file, content);
    return runPdp('check', '--config', folder.configFile, file);
  };

  test('may say everything', async () => {
    const all = {
      ...good,
      description: 'd',
      source_ip: '10.0.0.1',
      scheme: 'http',
      headers: { a: 'b' },
      sni: 's',
      context_extensions: { c: 'd' },
    };
    expect((await check(JSON.stringify(all))).code).toBe(0);
  });

  test.each([
    ['no JSON', '{', /request\.json/],
    ['no object', '[]', /request\.json/],
    ['a missing key', JSON.stringify({ ...good, host: undefined }), /host/],
    ['an unknown key', JSON.stringify({ ...good, pth: '/' }), /pth/],
    ['a wrong type', JSON.stringify({ ...good, headers: { a: 1 } }), /headers\.a/],
    ['a wrong scheme', JSON.stringify({ ...good, scheme: 'ftp' }), /scheme/],
  ])('with %s is bad input', async (_what, content, message) => {
    const { code, out, err } = await check(content);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });

  test('that is not there is bad input', async () => {
    expect(
      await runPdp('check', '--config', folder.configFile, join(folder.path, 'nowhere.json')),
    ).toMatchObject({ code: 2 });
  });

  test.each([[[]], [['a', 'b']]])('is one: %j is bad usage', async (files) => {
    const { code, err } = await runPdp('check', '--config', folder.configFile, ...files);
    expect(code).toBe(2);
    expect(err).toContain('expected FILE');
  });
});
