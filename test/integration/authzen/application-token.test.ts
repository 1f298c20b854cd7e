import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadDecisionServiceTypes } from '../../../src/api/protos.ts';
import { createPdpClient } from '../../../src/client/client.ts';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const POLICIES = fileURLToPath(new URL('../../conformance/authzen/policies', import.meta.url));
const TYPES = loadDecisionServiceTypes();
const GRANT = { subjects: ['user'], resources: ['record'] };
const QUESTION = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'read' },
  resource: { type: 'record', id: 'record-1' },
} as const;

/** How a caller fared: what it was told, over each of the two APIs. */
interface Fared {
  /** HTTP status, or the decision. */
  readonly authzen: number | boolean;
  /** Status code, or the decision. */
  readonly grpc: number | boolean;
  readonly challenge: string | null;
  readonly words: string;
}

/** A decision point on loopback, without TLS, whose issuer `apps` vouches for applications. */
async function servePlaintext(check: object) {
  const issuerOptions = { issuer: 'https://apps.example.com', audience: 'cedar-pdp' };
  const [apps, users] = [
    await createTestIssuer(issuerOptions),
    await createTestIssuer({ ...issuerOptions, issuer: 'https://users.example.com' }),
  ];
  const folder = await createConfigFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const issuers = [apps, users].map(async ({ issuer, algorithm, jwks }, index) => {
    const file = join(folder.path, `jwks-${index}.json`);
    await writeFile(file, JSON.stringify(jwks));
    const use = index === 0 ? { name: 'apps', use: 'application' } : { name: 'users' };
    return { ...use, issuer, audiences: ['cedar-pdp'], algorithms: [algorithm], jwks: { file } };
  });
  const config = {
    grpc: { address: '127.0.0.1:0', plaintext: true },
    ops: { address: '127.0.0.1:0' },
    http: { address: '127.0.0.1:0' },
    authzen: {},
    check: { namespace: '', callers: [{ applications: ['apps/shop'], ...GRANT }], ...check },
    issuers: await Promise.all(issuers),
    policies: { sets: [POLICIES] },
    decision: { timeout_ms: 5000 },
    audit: { dir: folder.auditDir },
  };
  await writeFile(folder.configFile, JSON.stringify(config));
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const client = connect(app.addresses.grpc);
  onTestFinished(() => client[Symbol.dispose]());
  const url = `http://${app.addresses.http}`;
  const ask = async (authorization?: string): Promise<Fared> => {
    const headers = { ...(authorization !== undefined && { authorization }) };
    const [overHttp, grpc] = [await askHttp(url, headers), await askGrpc(client, headers)];
    return { ...overHttp, grpc };
  };
  return { ask, url, apps, users, records: () => readRecords(folder.auditDir) };
}

async function askHttp(url: string, headers: Readonly<Record<string, string>>): Promise<Omit<Fared, 'grpc'>> {
  const answer = await fetch(`${url}/access/v1/evaluation`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(QUESTION),
  });
  const words = await answer.text();
  const challenge = answer.headers.get('www-authenticate');
  const decided = answer.ok ? (JSON.parse(words) as { decision: boolean }).decision : undefined;
  return { authzen: decided ?? answer.status, challenge, words };
}

async function askGrpc(
  client: ReturnType<typeof connect>,
  metadata: Readonly<Record<string, string>>,
): Promise<number | boolean> {
  const bytes = TYPES.CheckRequest.encode(TYPES.CheckRequest.fromObject(QUESTION)).finish();
  try {
    const answer = TYPES.CheckResponse.decode(
      await client.unary('/pdp.v1.DecisionService/Check', bytes, { metadata }),
    );
    return TYPES.CheckResponse.toObject(answer)['decision'] === 1;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

const UNKNOWN = { authzen: 401, grpc: status.UNAUTHENTICATED, challenge: 'Bearer realm="cedar-pdp"' };
const REFUSED = { authzen: 403, grpc: status.PERMISSION_DENIED, challenge: null };

describe.each<[string, object]>([
  ['where nobody else may ask', {}],
  ['where everybody may ask the same', { plaintext_callers: GRANT }],
])('an application that a token proves, %s,', (_where, check) => {
  test('is answered, and the record names it', async () => {
    const { ask, apps, records } = await servePlaintext(check);
    const token = await apps.sign({ sub: 'shop' });
    expect(await ask(`Bearer ${token}`)).toMatchObject({ authzen: true, grpc: true });
    const all = await records();
    expect(all).toMatchObject([
      { surface: 'authzen', decision: 'ALLOW', pep: { application: 'apps/shop' } },
      { surface: 'check', decision: 'ALLOW', pep: { application: 'apps/shop' } },
    ]);
    for (const record of all) expect(record).not.toHaveProperty('source_identity');
    expect(JSON.stringify(all)).not.toContain(token);
  });

  test('is not who it says where the token is not good, and never taken for somebody without one', async () => {
    const { ask, apps, users, records } = await servePlaintext(check);
    const good = await apps.sign({ sub: 'shop' });
    const bad = [
      `Bearer ${await apps.sign({ sub: 'shop', aud: 'others' })}`,
      `Bearer ${await apps.sign({ sub: 'shop', exp: 1_700_000_000, iat: 1_600_000_000 })}`,
      `Bearer ${await apps.sign({ sub: 'shop', iss: 'https://elsewhere.example.com' })}`,
      `Bearer ${await apps.sign({ sub: 'shop', cnf: { jkt: 'a'.repeat(43) } })}`,
      // Users are no applications, whatever they are called.
      `Bearer ${await users.sign({ sub: 'shop' })}`,
      `Bearer ${good.slice(0, -4)}`,
      'Bearer x',
      'Bearer',
      `Bearer ${good}, Bearer ${good}`,
      'Basic c2hvcDpzaG9w',
    ];
    for (const authorization of bad)
      expect([authorization, await ask(authorization)]).toMatchObject([authorization, UNKNOWN]);
    const all = await records();
    expect(all).toHaveLength(2 * bad.length);
    expect(new Set(all.map(({ reason }) => reason))).toEqual(new Set(['caller_not_allowed']));
  });
});

test('two credentials are none: nobody is known', async () => {
  const { url, apps } = await servePlaintext({ plaintext_callers: GRANT });
  const good = `Bearer ${await apps.sign({ sub: 'shop' })}`;
  const headers = { 'content-type': 'application/json' };
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    const call = request(`${url}/access/v1/evaluation`, { method: 'POST', headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    call.setHeader('authorization', [good, 'Bearer x']);
    call.on('error', reject).end(JSON.stringify(QUESTION));
  });
  expect(answered).toBe(401);
});

test('an application that is named nowhere may not ask', async () => {
  const { ask, apps, records } = await servePlaintext({});
  expect(await ask(`Bearer ${await apps.sign({ sub: 'other' })}`)).toMatchObject(REFUSED);
  expect(await records()).toMatchObject([
    { surface: 'authzen', pep: { application: 'apps/other' }, reason: 'caller_not_allowed' },
    { surface: 'check', pep: { application: 'apps/other' }, reason: 'caller_not_allowed' },
  ]);
});

test('without a token nobody is known, and may ask what everybody may, which is nothing unless chosen', async () => {
  const closed = await servePlaintext({});
  expect(await closed.ask()).toMatchObject(UNKNOWN);
  const open = await servePlaintext({ plaintext_callers: GRANT });
  expect(await open.ask()).toMatchObject({ authzen: true, grpc: true });
});

test('an application that may ask less than everybody is not refused what everybody may ask', async () => {
  const { ask, apps } = await servePlaintext({
    callers: [{ applications: ['apps/shop'], subjects: ['user'], resources: ['team'] }],
    plaintext_callers: GRANT,
  });
  expect(await ask(`Bearer ${await apps.sign({ sub: 'shop' })}`)).toMatchObject({
    authzen: true,
    grpc: true,
  });
});

test('the client sends the token of its application, and says what became of it', async () => {
  const { url, apps } = await servePlaintext({});
  let sub = 'shop';
  const pdp = createPdpClient({ url, timeoutMs: 10_000, token: () => apps.sign({ sub }) });
  expect(await pdp.check(QUESTION)).toMatchObject({ allowed: true });
  sub = 'other';
  expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'not_allowed_to_ask' });
});
