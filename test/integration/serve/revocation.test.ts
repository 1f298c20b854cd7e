import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { findRedisServer } from '../../support/parts.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { PAYMENT_API, WEB, checkRequestBytes } from '../../support/requests.ts';
import { createPolicyFolder } from '../../support/snapshot.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';

const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
const AUDIENCE = 'pdp';
const PERMIT_ALL = '@id("all") permit(principal, action, resource);\n';

let idp: TestIssuer;
beforeAll(async () => {
  idp = await createTestIssuer({ issuer: 'https://idp.example.com', audience: AUDIENCE });
});

/** A replica that permits everything, and what tests do with it. */
interface Replica {
  readonly app: App;
  readonly folder: ConfigFolder;
  /** Runs `pdp revoke` against it. */
  readonly revoke: (...args: readonly string[]) => ReturnType<typeof runPdp>;
  /** Asks; with a user's token where given. */
  readonly check: (options?: { token?: string; source?: string }) => Promise<Answer>;
}

interface Answer {
  readonly status: number;
  readonly reason: unknown;
  readonly id: unknown;
  readonly cacheableUntil: unknown;
}

interface Settings {
  readonly revocation?: object;
  readonly others?: object;
  readonly folder?: ConfigFolder;
}

async function replica({ revocation = {}, others = {}, folder: given }: Settings = {}): Promise<Replica> {
  const set = await createPolicyFolder(PERMIT_ALL);
  const folder =
    given ??
    (await createConfigFolder({
      demo: false,
      pips: [],
      policies: { sets: [set.path] },
      issuers: [
        {
          name: 'idp',
          issuer: idp.issuer,
          audiences: [AUDIENCE],
          algorithms: ['ES256'],
          jwks: { file: 'idp.json' },
          claims: { tenant: 'tid' },
        },
      ],
      revocation: { admin_token_file: 'token', ...revocation },
      ...others,
    }));
  await writeFile(join(folder.path, 'idp.json'), JSON.stringify(idp.jwks));
  await writeFile(join(folder.path, 'token'), `${TOKEN}\n`);
  const app = await startTestApp(folder);
  onTestFinished(async () => {
    await app.stop();
    await set[Symbol.asyncDispose]();
    if (!given) await folder[Symbol.asyncDispose]();
  });
  const client = connect(app.addresses.grpc);
  onTestFinished(() => client[Symbol.dispose]());
  return {
    app,
    folder,
    revoke: (...args) => runPdp('revoke', ...args, '--config', folder.configFile, '--ops', app.addresses.ops),
    async check({ token, source = PAYMENT_API } = {}) {
      const headers: [string, string][] = token === undefined ? [] : [['authorization', `Bearer ${token}`]];
      const answer = await client.check(checkRequestBytes({ source, headers }));
      const { metadata } = answer;
      return {
        status: answer.httpStatus,
        reason: metadata['reason'],
        id: metadata['decision_id'],
        cacheableUntil: metadata['cacheable_until'],
      };
    },
  };
}

/** A token as it is issued to the same user after a revocation; clocks may differ by that much. */
const laterToken = (claims: object = {}) => idp.sign({ iat: Math.floor(Date.now() / 1000) + 2, ...claims });

const recordOf = (auditDir: string, id: unknown) =>
  eventually('the record', async () => (await readRecords(auditDir)).find((one) => one.decision_id === id));

interface Control {
  readonly kind: string;
  readonly index: number;
  readonly [name: string]: unknown;
}

async function controlRecords(auditDir: string): Promise<Control[]> {
  const files = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(auditDir, name), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1));
  return lines
    .map((line) => JSON.parse(line) as Control)
    .filter(({ kind }) => kind.startsWith('revocation_'));
}

describe('one process', () => {
  test('what was issued to a user is void at once, cached or not, and what is issued later is good', async () => {
    const { check, revoke, folder } = await replica();
    const token = await idp.sign({ jti: 't-1' });
    expect(await check({ token })).toMatchObject({ status: 200, reason: 'permitted' });
    const revoked = await revoke('user', 'idp/alice', '--reason', 'laptop stolen');
    expect(revoked).toMatchObject({ code: 0, err: '' });
    expect(revoked.out).toMatch(
      /^in force:\n {2}user idp\/alice: what was issued before \S+ is void, by admin \(laptop stolen\)\n$/,
    );
    const refused = await check({ token });
    expect(refused).toMatchObject({ status: 401, reason: 'token_revoked' });
    expect(await check({ token: await laterToken() })).toMatchObject({ status: 200 });
    expect(await check({ token: await idp.sign({ sub: 'bob' }) })).toMatchObject({ status: 200 });
    expect(await recordOf(folder.auditDir, refused.id)).toMatchObject({
      reason: 'token_revoked',
      cause: 'revoked',
      user: 'idp/alice',
      token: { jti: 't-1', state: 'invalid' },
      detail: expect.stringMatching(/^user idp\/alice: revoked, .* by admin \(laptop stolen\)$/) as string,
    });
  });

  test.each<[string, string]>([
    ['session', 'idp/s-1'],
    ['token', 'idp/t-1'],
    ['email', 'idp/Alice@Example.com'],
    ['tenant', 'idp/acme'],
  ])('a %s is shut off and lifted', async (kind, id) => {
    const { check, revoke } = await replica();
    const claims = { sid: 's-1', jti: 't-1', email: 'alice@example.com', tid: 'acme' };
    const token = await laterToken(claims);
    expect((await check({ token })).status).toBe(200);
    expect(await revoke(kind, id, '--shut-off', '--reason', 'INC-7')).toMatchObject({ code: 0 });
    expect(await check({ token })).toMatchObject({ status: 401, reason: 'token_revoked' });
    expect((await check({ token: await laterToken({ tid: 'other' }) })).status).toBe(200);
    expect(await revoke(kind, id, '--lift', '--reason', 'over')).toMatchObject({ code: 0 });
    expect((await check({ token })).status).toBe(200);
    expect(await revoke(kind, id, '--lift', '--reason', 'again')).toMatchObject({
      code: 1,
      err: expect.stringContaining('is not shut off') as string,
    });
  });

  test('every change is in the decision log, before it is in force', async () => {
    const { check, revoke, folder } = await replica();
    await revoke('workload', PAYMENT_API, '--for', '8h', '--reason', 'INC-7');
    const { id } = await check();
    const refused = await recordOf(folder.auditDir, id);
    const [change, ...more] = await controlRecords(folder.auditDir);
    expect(more).toEqual([]);
    expect(change).toMatchObject({
      kind: 'revocation_changed',
      effect: 'shut_off',
      subjects: `workload ${PAYMENT_API}`,
      source: 'admin',
      by: expect.stringMatching(/^the admin token at 127/) as string,
      reason: 'INC-7',
    });
    const { at, until, index } = change as Control & { at: string; until: string };
    expect(Date.parse(until) - Date.parse(at)).toBeGreaterThan(8 * 3_600_000 - 5000);
    expect(index).toBeLessThan((refused as unknown as Control).index);
    expect(refused).toMatchObject({ reason: 'identity_revoked', http_status: 403 });
    await eventually('a checkpoint that the log is verified by', async () =>
      (await runPdp('audit', 'verify', folder.auditDir)).code === 0 ? true : undefined,
    );
  });

  test('lifting what is void says that it stays void', async () => {
    const { revoke } = await replica();
    expect((await revoke('tenant', 'idp/acme', '--reason', 'a')).code).toBe(0);
    expect(await revoke('tenant', 'idp/acme', '--lift', '--reason', 'b')).toMatchObject({
      code: 1,
      err: expect.stringContaining('what is void stays void') as string,
    });
  });

  test('what is in force is listed and counted', async () => {
    const { app, check, revoke } = await replica();
    expect(await revoke('--list')).toMatchObject({ code: 0, out: 'nothing is revoked\n' });
    await revoke('user', 'idp/alice', '--reason', 'a');
    await revoke('workload', WEB, '--reason', 'b');
    const list = await revoke('--list', '--json');
    expect(JSON.parse(list.out)).toMatchObject([
      { effect: 'shut_off', subjects: [{ kind: 'workload', id: WEB }], source: 'admin', reason: 'b' },
      { effect: 'revoked', subjects: [{ kind: 'user', id: 'idp/alice' }], reason: 'a' },
    ]);
    expect((await revoke('--list')).out).toMatch(/\(b\); refused here: 0\n.*\(a\); refused here: 0\n$/s);
    await check({ source: WEB });
    expect((await revoke('--list')).out).toMatch(/\(b\); refused here: 1, last at \d{4}-.*Z\n.*\(a\)/s);
    const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
    expect(metrics).toContain('pdp_revocations_in_force{kind="workload"} 1');
    expect(metrics).toContain('pdp_revocation_lag_seconds_count 2');
    expect(metrics).toMatch(/pdp_checks_total\{.*reason="identity_revoked".*\} 1/);
    expect(metrics).toContain('pdp_evidence_refused_total{kind="workload",cause="revoked"} 1');
  });

  test.each<[string, readonly string[], RegExp]>([
    ['no reason', ['user', 'idp/alice'], /--reason: is needed/],
    ['no subject', ['--reason', 'x'], /expected KIND ID/],
    ['another kind', ['group', 'idp/a', '--reason', 'x'], /needs a 'kind' among/],
    [
      'an issuer that there is not',
      ['user', 'ipd/alice', '--reason', 'x'],
      /issuer 'ipd', of which no users are configured \(idp\)/,
    ],
    ['a name with a space after it', ['user', 'idp/alice ', '--reason', 'x'], /a space at an end/],
    ['a name that no token can have', ['user', 'idp/аlice', '--reason', 'x'], /printable ASCII/],
    ['a time that is none', ['user', 'idp/a', '--for', 'soon', '--reason', 'x'], /--for/],
    ['both ways at once', ['user', 'idp/a', '--lift', '--shut-off', '--reason', 'x'], /--lift/],
    ['another token', ['user', 'idp/a', '--reason', 'x', '--token-file', 'package.json'], /.+/],
  ])('%s is refused, in words', async (_what, args, words) => {
    const { revoke } = await replica();
    expect(await revoke(...args)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(words) as string,
    });
  });

  test('a shut-off survives a restart with a journal', async () => {
    const first = await replica({ others: { shared_state: { kind: 'embedded', journal: 'state.journal' } } });
    await first.revoke('workload', PAYMENT_API, '--reason', 'INC-7');
    await first.app.stop();
    const again = await replica({ folder: first.folder });
    expect(await again.check()).toMatchObject({ status: 403, reason: 'identity_revoked' });
  });

  test('subjects in the file are shut off as long as they are there', async () => {
    const folder = await createConfigFolder();
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const file = join(folder.path, 'shut-off.yaml');
    await writeFile(file, `- {kind: workload, id: "${PAYMENT_API}", reason: INC-7}\n`);
    const { check, revoke, folder: served } = await replica({ revocation: { file } });
    expect(await check()).toMatchObject({ status: 403, reason: 'identity_revoked' });
    expect((await check({ source: WEB })).status).toBe(200);
    expect(await revoke('workload', PAYMENT_API, '--lift', '--reason', 'x')).toMatchObject({
      code: 1,
      err: expect.stringContaining('take it out there') as string,
    });
    await writeFile(file, '- {kind: user, id: ipd/alice, reason: INC-7}\n');
    expect(await runPdp('config', 'check', '--config', served.configFile)).toMatchObject({
      code: 1,
      err: expect.stringContaining("issuer 'ipd'") as string,
    });
    await writeFile(file, '[]\n');
    await eventually('it is in force no more', async () =>
      (await check()).status === 200 ? true : undefined,
    );
  });
});

describe('over mutual TLS', () => {
  const ADMIN = 'spiffe://prod.example.com/ns/security/sa/responder';

  async function serve(ca: TestCa, own: Leaf, admins: readonly string[]): Promise<Replica> {
    const spiffe = {
      source: 'files',
      cert_file: own.certFile,
      key_file: own.keyFile,
      bundles: [{ trust_domain: ca.trustDomain, file: ca.bundleFile }],
    };
    // Nobody may see the rest of the surface: its list is another one.
    const ops = { address: '127.0.0.1:0', plaintext: false, allow: [] };
    return await replica({ revocation: { admin_token_file: undefined, admins }, others: { spiffe, ops } });
  }

  test('who is on the list revokes as its SVID, which is what is recorded', async () => {
    await using ca = await createTestCa('prod.example.com');
    const { check, revoke, folder } = await serve(ca, await ca.issue({ spiffeId: ADMIN }), [ADMIN]);
    expect(await revoke('workload', PAYMENT_API, '--reason', 'INC-7')).toMatchObject({ code: 0, err: '' });
    expect((await check()).reason).toBe('identity_revoked');
    expect(await controlRecords(folder.auditDir)).toMatchObject([{ by: ADMIN }]);
  });

  test('who is shut off is not heard any more, and does not lift that', async () => {
    await using ca = await createTestCa('prod.example.com');
    const { revoke } = await serve(ca, await ca.issue({ spiffeId: ADMIN }), [ADMIN]);
    expect(await revoke('workload', ADMIN, '--reason', 'its key is out')).toMatchObject({ code: 0 });
    const refused = { code: 2, err: expect.stringContaining('is shut off') as string };
    expect(await revoke('workload', ADMIN, '--lift', '--reason', 'x')).toMatchObject(refused);
    expect(await revoke('--list')).toMatchObject(refused);
  });

  test('who is not is told so, and by default nobody is', async () => {
    await using ca = await createTestCa('prod.example.com');
    const { check, revoke } = await serve(ca, await ca.issue({ spiffeId: ADMIN }), []);
    const answer = await revoke('workload', PAYMENT_API, '--reason', 'INC-7');
    expect(answer).toMatchObject({ code: 2, err: expect.stringContaining('revocation.admins') as string });
    expect(await revoke('--list')).toMatchObject({ code: 2 });
    expect((await check()).status).toBe(200);
  });
});

describe.skipIf(findRedisServer() === undefined)('two replicas on one Redis', () => {
  const shared = ({ url }: TestRedis) => ({
    shared_state: { kind: 'redis', url, heartbeat_ms: 50, timeout_ms: 2000 },
  });

  test('both refuse as soon as one was told', async () => {
    await using redis = await startRedis({ exclusive: true });
    const [one, other] = [await replica({ others: shared(redis) }), await replica({ others: shared(redis) })];
    const token = await idp.sign();
    expect((await other.check({ token })).status).toBe(200);
    expect(await one.revoke('user', 'idp/alice', '--reason', 'x')).toMatchObject({ code: 0 });
    expect((await one.check({ token })).reason).toBe('token_revoked');
    await eventually('the other one knows', async () =>
      (await other.check({ token })).reason === 'token_revoked' ? true : undefined,
    );
    expect((await other.revoke('--list')).out).toContain('user idp/alice');
    const third = await replica({ others: shared(redis) });
    await eventually('one that starts later knows', async () =>
      (await third.check({ token })).reason === 'token_revoked' ? true : undefined,
    );
  });

  test('while Redis hangs, caches are left alone, then everything is denied; when it is back, all is as before', async () => {
    await using redis = await startRedis({ exclusive: true });
    const revocation = { max_lag_ms: 200, deny_after_ms: 3000 };
    const { check, revoke, folder } = await replica({ revocation, others: shared(redis) });
    await eventually('the cache answers', async () => {
      const { id } = await check();
      return cacheOf(await recordOf(folder.auditDir, id)) === true ? true : undefined;
    });
    redis.pause();
    await eventually('the cache does not answer any more', async () => {
      const { id, reason, cacheableUntil } = await check();
      if (cacheOf(await recordOf(folder.auditDir, id)) === true) return undefined;
      expect(reason).toBe('permitted');
      expect(Number(cacheableUntil ?? 0)).toBeLessThanOrEqual(Date.now());
      return true;
    });
    const denied = await eventually('everything is denied', async () => {
      const answer = await check();
      return answer.status === 200 ? undefined : answer;
    });
    expect(denied).toMatchObject({ status: 503, reason: 'state_unavailable' });
    expect(await recordOf(folder.auditDir, denied.id)).toMatchObject({
      source_identity: { spiffe_id: PAYMENT_API },
      detail: expect.stringContaining('may have been missed') as string,
    });
    expect(await revoke('workload', WEB, '--reason', 'x')).toMatchObject({ code: 3 });
    redis.resume();
    await eventually('it is as before', async () => {
      const { id } = await check();
      return cacheOf(await recordOf(folder.auditDir, id)) === true ? true : undefined;
    });
    const kinds = (await controlRecords(folder.auditDir)).map(({ kind }) => kind);
    expect(kinds).toEqual(['revocation_changed', 'revocation_change_unconfirmed']);
  });

  test.each(['deny', 'last_known'])(
    'one that starts without Redis knows nothing, so it denies and is not ready (on_lost: %s)',
    async (on_lost) => {
      const port = await freePort();
      const shared_state = { kind: 'redis', url: `redis://127.0.0.1:${port}` };
      const { app, check, revoke } = await replica({ revocation: { on_lost }, others: { shared_state } });
      expect(await check()).toMatchObject({ status: 503, reason: 'state_unavailable' });
      expect(await revoke('workload', WEB, '--lift', '--reason', 'x')).toMatchObject({
        code: 3,
        err: expect.stringContaining('never read') as string,
      });
      expect(app.readiness()).toMatchObject({
        ready: false,
        problems: [expect.stringContaining('never read') as string],
      });
      await using redis = await startRedis({ exclusive: true, port });
      expect(redis.port).toBe(port);
      await eventually('it is ready', () => (app.readiness().ready ? true : undefined));
      expect(await check()).toMatchObject({ status: 200 });
    },
  );

  test('where that was chosen, what is known last goes on to count', async () => {
    await using redis = await startRedis({ exclusive: true });
    const revocation = { max_lag_ms: 100, deny_after_ms: 200, on_lost: 'last_known' };
    const { check, revoke, app } = await replica({ revocation, others: shared(redis) });
    expect(await revoke('workload', WEB, '--reason', 'x')).toMatchObject({ code: 0 });
    redis.pause();
    await eventually('the state lags', async () => {
      const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
      const lag = /^pdp_shared_state_lag_seconds (\S+)$/m.exec(metrics)?.[1];
      return Number(lag) > 0.5 ? true : undefined;
    });
    expect((await check()).status).toBe(200);
    expect((await check({ source: WEB })).reason).toBe('identity_revoked');
    redis.resume();
  });
});

function cacheOf(record: object): unknown {
  return (record as { readonly cache?: { readonly hit?: boolean } }).cache?.hit;
}
