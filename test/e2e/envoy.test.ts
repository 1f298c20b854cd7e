import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccessLogEntry } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { filesIn } from '../support/files-in.ts';
import { type Mesh, type MeshAnswer, type MeshRequest, startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';
import { type DecisionRecord, PDP_MAIN } from '../support/pdp-process.ts';
import type { TokenClaims } from '../support/test-issuer.ts';
import { type SeenRequest, headerValues } from '../support/upstream.ts';

const PAYMENT_API = 'spiffe://prod.example.com/ns/payments/sa/payment-api';
const LEDGER_API = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';
const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** All that one request left behind. */
interface Exchange {
  readonly answer: MeshAnswer;
  /** As the service saw it; `undefined`: it never got there. */
  readonly seen: SeenRequest | undefined;
  readonly entry: AccessLogEntry;
  /** `undefined` where Envoy answered without asking. */
  readonly record: DecisionRecord | undefined;
}

let mesh: Mesh;
let sent = 0;
const tokens: string[] = [];

async function exchange(request: MeshRequest): Promise<Exchange> {
  const before = mesh.upstream.seen.length;
  const answer = await mesh.send(request);
  sent += 1;
  const entry = (await mesh.envoy.accessLog(sent)).at(sent - 1);
  if (entry === undefined) throw new Error('the access log lost an entry');
  const { decision_id } = entry;
  const record = decision_id === null ? undefined : await recordOf(decision_id);
  return { answer, seen: mesh.upstream.seen[before], entry, record };
}

async function recordOf(decisionId: string): Promise<DecisionRecord> {
  return eventually(`a record of decision ${decisionId}`, async () => {
    const records = await mesh.pdp.records(0);
    return records.find(({ decision_id }) => decision_id === decisionId);
  });
}

/** Asserts a deny by the PDP that client, access log and record agree on; its problem details. */
function expectDeny(
  { answer, seen, entry, record }: Exchange,
  status: number,
  reason: string,
): Record<string, unknown> {
  expect({ status: answer.status, reason: entry.reason }).toEqual({ status, reason });
  expect(seen).toBeUndefined();
  expect(entry).toMatchObject({
    decision: 'DENY',
    response_code: status,
    response_code_details: 'ext_authz_denied',
    response_flags: 'UAEX',
  });
  expect(record).toMatchObject({
    decision: 'DENY',
    reason,
    http_status: status,
    request_id: entry.request_id,
  });
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.headers['cache-control']).toBe('no-store');
  expect(answer.headers['x-pdp-decision-id']).toBe(entry.decision_id);
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  expect(problem).toMatchObject({ status, reason, decision_id: entry.decision_id });
  return problem;
}

/** Asserts a permit that service, access log and record agree on. */
function expectPermit({ answer, seen, entry, record }: Exchange): void {
  expect({ status: answer.status, reason: entry.reason }).toEqual({ status: 200, reason: 'permitted' });
  expect(entry.decision_id).toMatch(UUID_V7);
  expect(headerValues(seen, 'x-pdp-decision-id')).toEqual([entry.decision_id]);
  expect(entry).toMatchObject({ decision: 'ALLOW', response_code_details: 'via_upstream' });
  expect(record).toMatchObject({ decision: 'ALLOW', reason: 'permitted', request_id: entry.request_id });
}

const postEntry = (): MeshRequest => ({
  to: 'ledger-api',
  as: mesh.workloads.paymentApi,
  method: 'POST',
  path: '/internal/entries',
});

async function readReport(claims: TokenClaims | null, more: Partial<MeshRequest> = {}): Promise<Exchange> {
  const token = claims === null ? undefined : await mesh.token(claims);
  if (token !== undefined) tokens.push(token);
  const { dashboardApp } = mesh.workloads;
  const path = '/api/reports/quarterly';
  return exchange({
    to: 'reports-api',
    as: dashboardApp,
    path,
    ...(token !== undefined && { token }),
    ...more,
  });
}

describe.skipIf(findEnvoy() === undefined)('behind a real Envoy', () => {
  beforeAll(async () => {
    mesh = await startMesh();
  });
  afterAll(() => mesh[Symbol.asyncDispose]());

  describe('scenario 1, a mesh call', () => {
    test('lets the payment API post entries to the ledger, and records who asked whom for what', async () => {
      const result = await exchange(postEntry());
      expectPermit(result);
      expect(result.record).toMatchObject({
        source_identity: { spiffe_id: PAYMENT_API },
        destination_identity: { spiffe_id: LEDGER_API },
        mtls: true,
        method: 'POST',
        path: '/internal/entries',
        policies: ['mesh.payment-api-posts-entries'],
        pep: { spiffe_id: mesh.workloads.pep.spiffeId },
      });
    });

    test('denies the web frontend, saying "source principal not allowed" and nothing of the policies', async () => {
      const result = await exchange({ to: 'ledger-api', as: mesh.workloads.web, path: '/internal/entries' });
      const problem = expectDeny(result, 403, 'policy_forbids');
      expect(problem['detail']).toBe('source principal not allowed');
      expect(result.answer.body).not.toMatch(/spiffe|mesh\.|cedar::/i);
      expect(result.record).toMatchObject({
        source_identity: { spiffe_id: WEB },
        policies: ['mesh.only-payment-api-reaches-the-ledger'],
      });
    });

    test('denies the payment API everything but that call', async () => {
      expectDeny(await exchange({ ...postEntry(), method: 'GET' }), 403, 'no_permit');
      expectDeny(await exchange({ ...postEntry(), path: '/internal/accounts' }), 403, 'no_permit');
      expectDeny(await exchange({ ...postEntry(), to: 'reports-api' }), 403, 'policy_forbids');
    });

    test('decides on the path without the query, and passes the query on', async () => {
      const result = await exchange({ ...postEntry(), path: '/internal/entries?draft=1' });
      expectPermit(result);
      expect(result.seen?.path).toBe('/internal/entries?draft=1');
      expect(result.record?.path).toBe('/internal/entries');
      expect(result.entry.path).toBe('/internal/entries');
    });

    test('refuses the handshake without a certificate, with an expired one and with one of a foreign CA', async () => {
      const { createTestCa } = await import('../support/test-ca.ts');
      await using foreign = await createTestCa('prod.example.com');
      const imposter = await foreign.issue({ spiffeId: PAYMENT_API });
      const expired = await mesh.ca.issue({ spiffeId: PAYMENT_API, lifetimeMs: -1000 });
      const bare: MeshRequest = { to: 'ledger-api', method: 'POST', path: '/internal/entries' };
      const before = mesh.upstream.seen.length;
      await expect(mesh.send(bare)).rejects.toThrow(/certificate required/);
      await expect(mesh.send({ ...bare, as: imposter })).rejects.toThrow(/alert/);
      await expect(mesh.send({ ...bare, as: expired })).rejects.toThrow(/alert/);
      expect(mesh.upstream.seen).toHaveLength(before);
    });
  });

  describe('scenario 3, the finance dashboard', () => {
    test('lets alice read the report with MFA, on a healthy device, through the known app', async () => {
      const result = await readReport({});
      expectPermit(result);
      expect(result.record).toMatchObject({ user: 'demo/alice', device: { id: 'demo/laptop-1' } });
    });

    test('asks for step-up where MFA is missing (RFC 9470)', async () => {
      const result = await readReport({ amr: ['pwd'] });
      expectDeny(result, 401, 'step_up_required');
      const challenge = result.answer.headers['www-authenticate'] ?? '';
      expect(challenge).toMatch(/^Bearer realm="cedar-pdp", error="insufficient_user_authentication"/);
      expect(challenge).toContain('acr_values="mfa"');
    });

    test.each<[string, TokenClaims, string]>([
      ['the device is not healthy', { deviceId: 'laptop-2' }, 'the device is not compliant'],
      ['the disk is not encrypted', { deviceId: 'laptop-2' }, 'the disk of the device is not encrypted'],
      ['the device is not patched', { deviceId: 'laptop-2' }, 'the device is not patched'],
      ['nothing is known of the device', { deviceId: 'laptop-9' }, 'the device is not managed'],
      ['there is no device', { deviceId: null }, 'no verified device'],
      ['access was revoked', { sub: 'mallory' }, "the user's access is revoked"],
      ['nothing is known of the user', { sub: 'carol' }, "the directory does not know the user's standing"],
    ])('denies and names the missing piece where %s', async (_piece, claims, words) => {
      const problem = expectDeny(await readReport(claims), 403, 'policy_forbids');
      expect(problem['detail']).toContain(words);
    });

    test('denies a user of another department', async () => {
      expectDeny(await readReport({ sub: 'bob' }), 403, 'no_permit');
    });

    test('denies alice through any app but the dashboard', async () => {
      const problem = expectDeny(await readReport({}, { as: mesh.workloads.web }), 403, 'policy_forbids');
      expect(problem['detail']).toBe('the request does not come through the finance dashboard app');
    });

    test('asks for authentication where there is no token, without an error code (RFC 6750 §3.1)', async () => {
      const result = await readReport(null);
      expectDeny(result, 401, 'authentication_required');
      expect(result.answer.headers['www-authenticate']).toBe('Bearer realm="cedar-pdp"');
    });

    test.each<[string, string, TokenClaims]>([
      ['an expired token', 'token_expired', { lifetimeS: -120 }],
      ['a token for another audience', 'token_audience_wrong', { aud: 'payroll' }],
    ])('answers %s with 401 invalid_token', async (_token, reason, claims) => {
      const result = await readReport(claims);
      expectDeny(result, 401, reason);
      expect(result.answer.headers['www-authenticate']).toContain('error="invalid_token"');
    });

    test('never falls back from a bad token to no token', async () => {
      expectDeny(await readReport(null, { token: 'not-a-token' }), 401, 'token_malformed');
      const [head, body] = (await mesh.token()).split('.');
      const forged = `${head}.${body}.${Buffer.alloc(64, 1).toString('base64url')}`;
      expectDeny(await readReport(null, { token: forged }), 401, 'token_signature_invalid');
    });

    test('denies two credentials, whichever of them is good', async () => {
      const result = await readReport({}, { headers: [['authorization', 'Bearer other']] });
      expectDeny(result, 400, 'credentials_conflict');
    });
  });

  describe('scenario 8, forged headers', () => {
    const forged: MeshRequest['headers'] = [
      ['x-forwarded-client-cert', `By=${LEDGER_API};Hash=${'0'.repeat(64)};URI=${PAYMENT_API}`],
      ['x-user', 'alice'],
      ['x-auth-user', 'alice'],
      ['x-device-id', 'laptop-1'],
      ['x-envoy-downstream-service-cluster', 'payment-api'],
      ['x-original-url', '/public'],
      ['x-envoy-original-path', '/public'],
      ['x-http-method-override', 'GET'],
    ];

    test('takes no identity from headers of a client without a certificate', async () => {
      const result = await exchange({
        to: 'edge',
        method: 'POST',
        path: '/internal/entries',
        headers: forged,
      });
      expectDeny(result, 403, 'policy_forbids');
      expect(result.record).toMatchObject({ mtls: false });
      for (const party of ['source_identity', 'user', 'device'])
        expect(result.record).not.toHaveProperty(party);
      expect(result.entry.source).toBeNull();
    });

    test('takes no better identity from headers of a client with a certificate', async () => {
      const result = await exchange({ ...postEntry(), as: mesh.workloads.web, headers: forged });
      expectDeny(result, 403, 'policy_forbids');
      expect(result.record).toMatchObject({ source_identity: { spiffe_id: WEB } });
      for (const party of ['user', 'device']) expect(result.record).not.toHaveProperty(party);
    });

    test('knows the client by its certificate at the edge, too', async () => {
      expectPermit(await exchange({ ...postEntry(), to: 'edge' }));
    });

    test('gives the service one XFCC element, that of the connection', async () => {
      const result = await exchange({ ...postEntry(), headers: forged });
      expectPermit(result);
      const [xfcc = '', ...more] = headerValues(result.seen, 'x-forwarded-client-cert');
      expect(more).toEqual([]);
      expect(xfcc).toContain(`URI=${PAYMENT_API}`);
      expect(xfcc).not.toMatch(/,|Hash=0{64}/);
    });

    test("replaces the client's copies of our header, so that the service sees one", async () => {
      const headers = [1, 2].map((n) => ['x-pdp-decision-id', `forged-${n}`] as const);
      expectPermit(await exchange({ ...postEntry(), headers }));
    });

    test('refuses spellings of our header that a backend may fold into it', async () => {
      const { answer, seen, entry } = await exchange({
        ...postEntry(),
        headers: [['x_pdp_decision_id', 'forged']],
      });
      expect(answer.status).toBe(400);
      expect(seen).toBeUndefined();
      expect(entry).toMatchObject({
        decision_id: null,
        response_code_details: 'http1.unexpected_underscore',
      });
    });
  });

  describe('a path that can be read in two ways', () => {
    test.each([
      ['an empty segment', '//internal/entries'],
      ['an empty segment inside', '/internal//entries'],
      ['an encoded slash', '/internal%2fentries'],
      ['an encoded slash in upper case', '/internal%2Fentries'],
      ['an encoded backslash', '/internal%5centries'],
      ['a backslash', '/internal\\entries'],
      ['a dot segment', '/internal/./entries'],
      ['a parent segment', '/public/../internal/entries'],
      ['an encoded parent segment', '/public/%2e%2e/internal/entries'],
      ['a path parameter', '/internal/entries;role=admin'],
      ['a parent segment behind a path parameter', '/public/..;/internal/entries'],
      ['a double encoding', '/internal/%2565ntries'],
      ['an encoded NUL', '/internal/entries%00'],
      ['an incomplete escape', '/internal/entries%2'],
    ])('is denied and recorded: %s', async (_kind, path) => {
      const result = await exchange({ ...postEntry(), path });
      expectDeny(result, 400, 'path_ambiguous');
      expect(result.record).not.toHaveProperty('path');
      expect(result.record?.path_raw).toMatch(/^\//);
    });

    test('is refused by Envoy itself where it is not even valid HTTP', async () => {
      const { answer, seen, entry } = await exchange({ ...postEntry(), path: '/internal/entries#x' });
      expect(answer.status).toBe(400);
      expect(seen).toBeUndefined();
      expect(entry.decision_id).toBeNull();
    });
  });

  describe('after all that', () => {
    test("every decision in Envoy's log has exactly one record that says the same, and no record lacks one", async () => {
      const asked = (await mesh.envoy.accessLog(sent)).filter(({ decision_id }) => decision_id !== null);
      const records = await mesh.pdp.records(asked.length);
      const logged = asked.map(({ decision_id, decision, reason }) => ({ decision_id, decision, reason }));
      const recorded = records.map(({ decision_id, decision, reason }) => ({
        decision_id,
        decision,
        reason,
      }));
      expect(recorded).toEqual(logged);
      expect(new Set(recorded.map(({ decision_id }) => decision_id)).size).toBe(recorded.length);
    });

    test('no token, no query string and no forged value is in any log', async () => {
      const audit = (await filesIn(mesh.pdp.auditDir)).map(({ bytes }) => bytes.toString('latin1'));
      const ours = [mesh.pdp.output(), ...audit].join('\n');
      const theirs = JSON.stringify(await mesh.envoy.accessLog(sent));
      expect(tokens.length).toBeGreaterThan(5);
      const leaked = tokens.filter((token) => `${ours}${theirs}`.includes(token.split('.')[2] ?? ''));
      expect(leaked).toEqual([]);
      expect(
        [...ours.matchAll(/.{30}(draft=1|role=admin|not-a-token|forged-[12])/g)].map(([text]) => text),
      ).toEqual([]);
      // Envoy cannot cut path parameters off.
      expect([...theirs.matchAll(/.{30}(draft=1|not-a-token|forged-[12])/g)].map(([text]) => text)).toEqual(
        [],
      );
    });

    test('SIGTERM ends the PDP in good order, and its log is complete and agrees with that of Envoy', async () => {
      // What Envoy refused by itself has no decision to look for.
      const accessLog = (await mesh.envoy.accessLog(sent)).filter(({ decision_id }) => decision_id !== null);
      expect(await mesh.pdp.stop()).toBe(0);
      const file = join(mesh.pdp.auditDir, '..', 'access.ndjson');
      await writeFile(file, accessLog.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
      const args = [PDP_MAIN, 'audit', 'verify', mesh.pdp.auditDir, '--access-log', file];
      const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      expect({ status, stdout }).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/COMPLETENESS: +OK/) as string,
      });
    });
  });
});

describe.skipIf(findEnvoy() === undefined)('when the PDP cannot be asked, Envoy denies', () => {
  const request = ({ workloads }: Mesh): MeshRequest => ({
    to: 'ledger-api',
    as: workloads.paymentApi,
    method: 'POST',
    path: '/internal/entries',
  });

  async function expectRefusal(own: Mesh): Promise<MeshAnswer> {
    const before = own.upstream.seen.length;
    const answer = await own.send(request(own));
    expect(answer.status).toBe(503);
    expect(answer.body).toBe('');
    expect(own.upstream.seen).toHaveLength(before);
    return answer;
  }

  test('because it was killed', async () => {
    await using own = await startMesh();
    expect((await own.send(request(own))).status).toBe(200);
    await own.pdp.kill();
    await expectRefusal(own);
    const [allowed, refused] = await own.envoy.accessLog(2);
    expect(allowed?.decision).toBe('ALLOW');
    expect(refused).toMatchObject({
      decision_id: null,
      response_code_details: 'ext_authz_error',
      response_flags: 'UAEX',
    });
    const records = await own.pdp.records(1);
    expect(records.map(({ decision_id }) => decision_id)).toEqual([allowed?.decision_id]);
  });

  test('because it hangs, within the deployed timeout of 200 ms', async () => {
    await using own = await startMesh({ deployedTimeouts: true });
    own.pdp.signal('SIGSTOP');
    try {
      const { ms } = await expectRefusal(own);
      expect(ms).toBeGreaterThan(150);
      // Much room for a busy machine, and far from any other timeout.
      expect(ms).toBeLessThan(2000);
    } finally {
      own.pdp.signal('SIGCONT');
    }
  });

  test('because who answers is not the PDP', async () => {
    await using own = await startMesh({ identities: { pdp: '/ns/frontend/sa/web' } });
    await expectRefusal(own);
    expect(await own.pdp.records(0)).toEqual([]);
  });
});

describe.skipIf(findEnvoy() === undefined)('an Envoy that is not on the allow list', () => {
  test('is told no, whatever it asks, and that is recorded', async () => {
    await using own = await startMesh({ allow: ['spiffe://prod.example.com/ns/mesh/sa/other-pep'] });
    const answer = await own.send({
      to: 'ledger-api',
      as: own.workloads.paymentApi,
      method: 'POST',
      path: '/internal/entries',
    });
    expect(answer.status, JSON.stringify(await own.envoy.accessLog(1))).toBe(403);
    expect(own.upstream.seen).toEqual([]);
    const pep = { spiffe_id: own.workloads.pep.spiffeId };
    expect(await own.pdp.records(1)).toMatchObject([{ decision: 'DENY', reason: 'caller_not_allowed', pep }]);
  });
});

describe.skipIf(findEnvoy() === undefined)('where the proxy hands on what clients write into XFCC', () => {
  test('the doctored element gives nobody an identity', async () => {
    await using own = await startMesh({
      editEnvoy: ({ static_resources }) => {
        for (const { filters } of static_resources.listeners.flatMap(({ filter_chains }) => filter_chains)) {
          for (const { typed_config } of filters) typed_config.forward_client_cert_details = 'APPEND_FORWARD';
        }
      },
    });
    const headers = [['x-forwarded-client-cert', `By=${LEDGER_API};URI=${PAYMENT_API}`]] as const;
    const answer = await own.send({
      to: 'ledger-api',
      as: own.workloads.web,
      method: 'POST',
      path: '/internal/entries',
      headers,
    });
    expect(answer.status).toBe(403);
    expect(own.upstream.seen).toEqual([]);
    expect(await own.pdp.records(1)).toMatchObject([
      { decision: 'DENY', source_identity: { spiffe_id: WEB } },
    ]);
  });
});
