import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { justInTimeConfig } from '../../support/just-in-time.ts';
import { askServer } from '../../../src/api/ext-authz/client.ts';
import type { App } from '../../../src/compose.ts';
import { type CliAnswer, createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { EXT_AUTHZ_TYPES, accessRequest } from '../../support/requests.ts';
import { type TestCa, createTestCa } from '../../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';

const ORDERS = 'spiffe://prod.example.com/ns/orders/sa/orders-api';
const WHY = 'INC-1207: stuck orders';
const DIRECTORY = {
  'staff/kim': { groups: ['orders-operators'] },
  'staff/sam': { groups: ['orders-leads'] },
};
const GRANTS = {
  scopes: [
    {
      name: 'orders',
      max_s: 3600,
      break_glass: true,
      break_glass_max_s: 600,
      requesters: { issuers: ['staff'] },
      approvers: { users: ['staff/lee'], groups: ['orders-leads'] },
    },
  ],
};

let folder: string;
let issuer: TestIssuer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-grants-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  issuer = await createTestIssuer({ issuer: 'https://id.example.com', audience: 'pdp' });
  await writeFile(join(folder, 'jwks.json'), JSON.stringify(issuer.jwks));
  await writeFile(join(folder, 'directory.json'), JSON.stringify(DIRECTORY));
});

function configOf(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    demo: false,
    ...justInTimeConfig(issuer, folder),
    grants: GRANTS,
    ...more,
  };
}

interface Running {
  readonly app: App;
  readonly auditDir: string;
  readonly configFile: string;
  /** Runs `pdp grant …` as a user. */
  readonly grant: (as: string, ...args: readonly string[]) => Promise<CliAnswer>;
  /** Has a user ask for a grant, and tells its id. */
  readonly ask: (as: string, ...args: readonly string[]) => Promise<string>;
  /** The decision about a write, or a read, of a user. */
  readonly decide: (
    user: string,
    method?: string,
  ) => Promise<{ decision: unknown; policies: unknown; until: unknown; reason: unknown }>;
}

async function serve(more: Readonly<Record<string, unknown>> = {}): Promise<Running> {
  const config = await createConfigFolder(configOf(more));
  onTestFinished(() => config[Symbol.asyncDispose]());
  const app = await startTestApp(config);
  onTestFinished(() => app.stop());
  const { grpc, http = '' } = app.addresses;
  const grant = async (as: string, ...args: readonly string[]): Promise<CliAnswer> =>
    await runPdp('grant', ...args, '--http', http, '--token-file', await tokenFile(as));
  return {
    app,
    auditDir: config.auditDir,
    configFile: config.configFile,
    grant,
    async ask(as, ...args) {
      const answer = await grant(
        as,
        'request',
        '--scope',
        'orders',
        '--justification',
        WHY,
        '--json',
        ...args,
      );
      expect(answer).toMatchObject({ code: 0, err: '' });
      return (JSON.parse(answer.out) as { id: string }).id;
    },
    async decide(user, method = 'POST') {
      const authorization = `Bearer ${await issuer.sign({ sub: user })}`;
      const question = accessRequest({
        destination: ORDERS,
        method,
        path: '/orders/9/release',
        headers: [['authorization', authorization]],
      });
      const { metadata } = await askServer(grpc, question, EXT_AUTHZ_TYPES);
      const { decision, policies, reason, cacheable_until: until } = metadata;
      return { decision, policies, reason, until };
    },
  };
}

async function tokenFile(as: string, claims: object = {}): Promise<string> {
  const file = join(folder, `${as}-${crypto.randomUUID()}.token`);
  await writeFile(file, `${await issuer.sign({ sub: as, ...claims })}\n`);
  return file;
}

async function controlRecords(auditDir: string): Promise<Record<string, unknown>[]> {
  const names = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(auditDir, name), 'utf8')));
  return texts
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ kind }) => String(kind).startsWith('grant_'));
}

const DENIED = { decision: 'DENY', reason: 'policy_forbids', policies: ['jit.write-needs-a-grant'] };
const ALLOWED = { decision: 'ALLOW', policies: ['jit.granted-operators-write'] };

describe('a grant, from the command line to the decision', () => {
  test('lets an operator write while it is live, and every step is in the log', async () => {
    const { app, ask, grant, decide, auditDir } = await serve();
    expect(await decide('kim', 'GET')).toMatchObject({ decision: 'ALLOW', policies: ['jit.operators-read'] });
    expect(await decide('kim')).toMatchObject(DENIED);
    const id = await ask('kim', '--for', '30m', '--ticket', 'INC-1207');
    expect(await decide('kim')).toMatchObject(DENIED);
    expect(await grant('kim', 'approve', id)).toMatchObject({
      code: 1,
      err: 'pdp: nobody decides on a request of their own\n',
    });
    expect(await grant('pat', 'approve', id)).toMatchObject({
      code: 1,
      err: 'pdp: not one of the approvers of the scope\n',
    });
    const approved = await grant('sam', 'approve', id);
    expect(approved).toMatchObject({ code: 0, err: '', out: expect.stringContaining('state    approved\n') });
    expect(await decide('kim')).toMatchObject(ALLOWED);
    expect(await decide('kim')).toMatchObject(ALLOWED);
    expect(await grant('lee', 'list', '--all')).toMatchObject({ code: 0, out: expect.stringContaining(WHY) });
    expect(await grant('pat', 'list', '--all')).toMatchObject({ code: 0, out: 'no grants\n' });
    expect(await grant('lee', 'revoke', id, '--reason', 'the incident is over')).toMatchObject({ code: 0 });
    expect(await decide('kim')).toMatchObject(DENIED);
    expect(await grant('lee', 'approve', id)).toMatchObject({
      code: 1,
      err: `pdp: the grant ${id} is revoked already\n`,
    });
    const records = await controlRecords(auditDir);
    const about = {
      kind: 'grant_changed',
      grant: id,
      user: 'staff/kim',
      scope: 'orders',
      justification: WHY,
    };
    expect(records).toMatchObject([
      {
        ...about,
        change: 'requested',
        by: 'staff/kim',
        state: 'requested',
        ticket: 'INC-1207',
        duration_s: 1800,
      },
      { ...about, change: 'approved', by: 'staff/sam', state: 'approved', expires_at: expect.any(String) },
      { ...about, change: 'revoked', by: 'staff/lee', state: 'revoked', reason: 'the incident is over' },
    ]);
    const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
    expect(metrics).toContain('pdp_grant_changes_total{change="approved",scope="orders"} 1');
    await eventually('the log is sealed and right', async () =>
      (await runPdp('audit', 'verify', auditDir)).code === 0 ? true : undefined,
    );
  });

  test('ends by itself, with every decision that rested on it', async () => {
    const { ask, grant, decide } = await serve();
    const id = await ask('kim', '--for', '2s');
    const approved = await grant('lee', 'approve', id, '--json');
    const end = Date.parse((JSON.parse(approved.out) as { expires_at: string }).expires_at);
    const allowed = await decide('kim');
    expect(allowed).toMatchObject(ALLOWED);
    expect(allowed.until).toBeLessThanOrEqual(end);
    const denied = await eventually('the grant has ended', async () => {
      const answer = await decide('kim');
      return answer.decision === 'DENY' ? answer : undefined;
    });
    expect(Date.now()).toBeGreaterThanOrEqual(end);
    expect(denied).toMatchObject(DENIED);
    expect(await grant('kim', 'list')).toMatchObject({ out: expect.stringContaining('ended') });
  });

  test('is taken by breaking glass, which is told apart in decisions, records and metrics', async () => {
    const { app, ask, grant, decide, auditDir } = await serve();
    expect(await decide('pat')).toMatchObject(DENIED);
    await ask('pat', '--for', '10m', '--break-glass');
    expect(await decide('pat')).toMatchObject({ decision: 'ALLOW', policies: ['jit.break-glass-writes'] });
    const again = await grant(
      'pat',
      'request',
      '--scope',
      'orders',
      '--for',
      '1m',
      '--justification',
      WHY,
      '--break-glass',
    );
    expect(again).toMatchObject({
      code: 1,
      err: "pdp: a break-glass grant for 'orders' is live: it cannot be renewed\n",
    });
    expect(await controlRecords(auditDir)).toMatchObject([
      { change: 'broke_glass', break_glass: true, by: 'staff/pat' },
    ]);
    const metrics = await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
    expect(metrics).toContain('pdp_break_glass_grants_total{scope="orders"} 1');
  });

  test('survives a restart where there is a journal', async () => {
    const shared = { shared_state: { kind: 'embedded', journal: join(folder, 'state.journal') } };
    const first = await serve(shared);
    const id = await first.ask('kim', '--for', '30m');
    expect(await first.grant('lee', 'approve', id)).toMatchObject({ code: 0 });
    await first.app.stop();
    const second = await serve(shared);
    expect(await second.decide('kim')).toMatchObject(ALLOWED);
    expect(await second.grant('kim', 'revoke', id)).toMatchObject({ code: 0 });
    expect(await second.decide('kim')).toMatchObject(DENIED);
  });
});

describe('the command line', () => {
  test.each<[string, readonly string[], string]>([
    ['without a scope', ['--for', '1h', '--justification', WHY], '--scope'],
    ['without a time', ['--scope', 'orders', '--justification', WHY], '--for'],
    ['with a time that is none', ['--scope', 'orders', '--for', '1 hour', '--justification', WHY], '--for'],
    ['with no time at all', ['--scope', 'orders', '--for', '0s', '--justification', WHY], '--for'],
    ['without a justification', ['--scope', 'orders', '--for', '1h'], '--justification'],
    [
      'with an empty justification',
      ['--scope', 'orders', '--for', '1h', '--justification', ''],
      'a justification of at least 10 characters',
    ],
    [
      'beyond the maximum',
      ['--scope', 'orders', '--for', '61m', '--justification', WHY],
      "3660 s is longer than a grant for 'orders' may be: 3600 s",
    ],
    [
      'beyond the maximum of breaking glass',
      ['--scope', 'orders', '--for', '11m', '--break-glass', '--justification', WHY],
      "660 s is longer than breaking glass for 'orders' may be: 600 s",
    ],
    [
      'for a scope that there is not',
      ['--scope', 'payroll', '--for', '1h', '--justification', WHY],
      "there is no scope 'payroll'",
    ],
    [
      'with words too many',
      ['orders', '--scope', 'orders', '--for', '1h', '--justification', WHY],
      'expected no argument',
    ],
  ])('refuses a request %s as bad input, in plain words', async (_what, args, words) => {
    const { grant } = await serve();
    const run = async () =>
      await grant('kim', 'request', ...args).catch((error: unknown) => ({ code: 99, err: String(error) }));
    expect(await run()).toMatchObject({ code: 2, err: expect.stringContaining(words) });
  });

  test.each<[string, readonly string[]]>([
    ['an id that is none', ['approve', '../../policies']],
    ['no id', ['approve']],
    ['no reason', ['deny', '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a']],
    ['a grant that there is not', ['revoke', '019b7c1e-5c2e-7a54-9d3c-1f2e3d4c5b6a']],
    ['a state that there is not', ['list', '--state', 'live']],
  ])('refuses %s as bad input', async (_what, args) => {
    const { grant } = await serve();
    expect(await grant('kim', ...args)).toMatchObject({ code: 2, out: '' });
  });

  test('needs a token that is in a file, is accepted, and goes nowhere but to the server', async () => {
    const { app, grant } = await serve();
    const http = ['--http', app.addresses.http ?? ''];
    expect(await runPdp('grant', 'list', ...http)).toMatchObject({
      code: 2,
      err: expect.stringContaining('--token-file'),
    });
    expect(await runPdp('grant', 'list', ...http, '--token-file', join(folder, 'none'))).toMatchObject({
      code: 2,
    });
    const expired = await runPdp(
      'grant',
      'list',
      ...http,
      '--token-file',
      await tokenFile('kim', { exp: 1 }),
    );
    expect(expired).toMatchObject({ code: 2, err: 'pdp: the token has expired\n' });
    await app.stop();
    expect(await grant('kim', 'list')).toMatchObject({ code: 3, out: '' });
  });

  test('approves over mutual TLS, with a token that is bound to the certificate', async () => {
    await using ca = await createTestCa('prod.example.com');
    const ids = [
      'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp',
      'spiffe://prod.example.com/ns/ops/sa/console',
    ];
    const [own, console] = await Promise.all(ids.map((spiffeId) => ca.issue({ spiffeId })));
    if (!own || !console) throw new Error('no certificates');
    const { app } = await serve({
      spiffe: spiffeOf(own, ca),
      http: { address: '127.0.0.1:0', plaintext: false, allow: [console.spiffeId] },
    });
    const client = await createConfigFolder(
      configOf({
        spiffe: spiffeOf(console, ca),
        http: { address: app.addresses.http, plaintext: false, allow: [console.spiffeId] },
      }),
    );
    const stranger = await createConfigFolder(
      configOf({
        spiffe: spiffeOf(own, ca),
        http: { address: app.addresses.http, plaintext: false, allow: [console.spiffeId] },
      }),
    );
    onTestFinished(async () => {
      await client[Symbol.asyncDispose]();
      await stranger[Symbol.asyncDispose]();
    });
    const { createHash, X509Certificate } = await import('node:crypto');
    const x5t = (pem: string): string =>
      createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url');
    const list = async (configFile: string, bound: string) =>
      await runPdp(
        'grant',
        'list',
        '--config',
        configFile,
        '--token-file',
        await tokenFile('kim', { cnf: { 'x5t#S256': x5t(bound) } }),
      );
    expect(await list(client.configFile, console.cert)).toMatchObject({ code: 0, out: 'no grants\n' });
    expect(await list(client.configFile, own.cert)).toMatchObject({
      code: 2,
      err: 'pdp: the token is not bound to this sender\n',
    });
    expect(await list(stranger.configFile, own.cert)).toMatchObject({ code: 1, out: '' });
  });
});

function spiffeOf(leaf: { readonly certFile: string; readonly keyFile: string }, ca: TestCa): object {
  return {
    source: 'files',
    cert_file: leaf.certFile,
    key_file: leaf.keyFile,
    bundles: [{ trust_domain: ca.trustDomain, file: ca.bundleFile }],
  };
}

test('without a section grants nothing is served and nothing is told of grants', async () => {
  const { app, decide } = await serve({ grants: undefined });
  expect(app.addresses.http).toBeUndefined();
  expect(await decide('kim')).toMatchObject(DENIED);
});
