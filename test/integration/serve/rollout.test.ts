import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { packBundle } from '../../../src/pdp/bundle/bundle.ts';
import { readRootFolder } from '../../../src/pdp/bundle/policy-folders.ts';
import { signFolder } from '../../../src/pdp/bundle/signed-folder.ts';
import { runPdp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { type PdpProcess, startPdp } from '../../support/pdp-process.ts';
import { WEB, checkRequestBytes } from '../../support/requests.ts';
import { SAMPLE_SCHEMA, createPolicyFolder } from '../../support/snapshot.ts';
import { type RawClient, connect } from '../../unit/api/grpc-client.ts';
import { serving, startHttpSource } from '../bundle/http-source.ts';

const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
const KEYS = generateKeyPairSync('ed25519');
const permit = (id: string) => `@id("${id}") permit(principal, action, resource);\n`;
const forbidWeb = `@id("no-web") forbid(principal == ZeroTrust::Workload::"${WEB}", action, resource);\n`;
// A busy machine must not make a deny of a permit.
const decision = { timeout_ms: 5000 };

async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-rollout-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  return folder;
}

/** Checks in eight lanes, each with this pause, until stopped; `failures` are calls that failed or were denied. */
function underLoad(client: RawClient, pauseMs = 0) {
  const stop = new AbortController();
  const seen = new Map<string, string>();
  const failures: unknown[] = [];
  const counts = { answered: 0 };
  const lane = async (): Promise<void> => {
    // A test that failed leaves its server: nobody is to ask that until the memory is full.
    while (!stop.signal.aborted && failures.length < 1000) {
      const answer = await client
        .check(checkRequestBytes())
        .catch((error: unknown) => void failures.push(error));
      if (pauseMs > 0) await delay(pauseMs);
      if (!answer) continue;
      counts.answered += 1;
      if (!answer.allowed) failures.push(answer);
      seen.set(String(answer.metadata['snapshot']), String(answer.metadata['policies']));
    }
  };
  const load = Promise.all(Array.from({ length: 8 }, lane));
  return {
    seen,
    failures,
    counts,
    async stop() {
      stop.abort();
      await load;
    },
    /** Awaits answers that were asked for from now on. */
    async goesOn() {
      const before = counts.answered;
      await eventually('checks go on', () => (counts.answered > before + 100 ? true : undefined));
    },
  };
}

interface LogRecord {
  readonly kind: string;
  readonly index: number;
  readonly snapshot?: string;
  readonly enforced?: boolean;
  readonly shadow_of?: string;
  readonly decision?: string;
  readonly decision_id?: string;
  readonly digest?: string;
  readonly before?: string;
  readonly slot?: string;
  readonly by?: string;
  readonly policies?: unknown;
}

/** Every record of a log, of whatever kind. */
async function allRecords(auditDir: string): Promise<LogRecord[]> {
  const files = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(auditDir, name), 'utf8')));
  return texts.flatMap((text) =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LogRecord),
  );
}

const activationsIn = (records: readonly LogRecord[]) =>
  records
    .filter(({ kind }) => kind === 'policy_activated')
    .map(({ by, slot, digest, before, policies }) => ({ by, slot, digest, before, policies }));

const opsOf = (pdp: PdpProcess) => `127.0.0.1:${pdp.opsPort}`;
const readyz = async (pdp: PdpProcess) =>
  (await (await fetch(`http://${opsOf(pdp)}/readyz`)).json()) as {
    ready: boolean;
    problems: string[];
    details: Record<string, unknown>;
  };

test('10 000 policies are reloaded while serving, and no check fails', async () => {
  const many = (prefix: string) =>
    Array.from(
      { length: 10_000 },
      (_, n) =>
        `@id("${prefix}-${n}") permit(principal == ZeroTrust::Workload::"spiffe://x.example/${n}", action, resource);\n`,
    ).join('');
  await using folder = await createPolicyFolder(permit('first') + many('a'));
  await using pdp = await startPdp({
    config: { policies: { sets: [folder.path], reload_ms: 50 }, decision },
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  // The thread that compiles has a low priority: calls without pause on two cores leave it little.
  const load = underLoad(client, 10);
  await load.goesOn();
  await folder.write('main.cedar', permit('second') + many('b'));
  await eventually('the new set is in force', () =>
    [...load.seen.values()].includes('second') ? true : undefined,
  );
  await load.goesOn();
  await load.stop();
  expect(load.failures).toEqual([]);
  expect([...load.seen.values()]).toEqual(['first', 'second']);
  expect(activationsIn(await allRecords(pdp.auditDir))).toMatchObject([
    { by: 'start', slot: 'sets', policies: 10_001 },
    { by: 'reload', slot: 'sets', policies: 10_001 },
  ]);
});

test('a candidate is seen in shadow, promoted and rolled back under load, by command, and all of it is in the log', async () => {
  await using active = await createPolicyFolder(permit('first'));
  await using next = await createPolicyFolder(permit('second') + forbidWeb);
  const folder = await tempFolder();
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, `${TOKEN}\n`);
  const policies = {
    sets: [active.path],
    candidate: { sets: [next.path] },
    state_file: join(folder, 'state.json'),
  };
  const ports = { decision, policies };
  await using pdp = await startPdp({
    folder,
    config: ports,
    env: { PDP_OPS_ADMIN_TOKEN_FILE: tokenFile },
  });
  const ops = ['--ops', opsOf(pdp), '--token-file', tokenFile] as const;
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  expect(pdp.output()).toMatch(/candidate 2, sha256:.*in shadow: decides nothing/);
  expect((await client.check(checkRequestBytes({ source: WEB }))).allowed).toBe(true);
  const load = underLoad(client);

  const shadow = await eventually('the comparison', async () => {
    const answer = await runPdp('policy', 'shadow', ...ops, '--json');
    const report = JSON.parse(answer.out) as {
      outcomes: Record<string, number>;
      candidate: string;
      active: string;
    };
    return (report.outcomes['reclassified'] ?? 0) > 0 && report.outcomes['would_lose'] === 1
      ? { ...report, code: answer.code }
      : undefined;
  });
  expect(shadow.code).toBe(1);
  const table = await runPdp('policy', 'shadow', ...ops);
  expect(table.out).toMatch(
    /1 +WOULD LOSE +ZeroTrust::Workload::"spiffe:.*first no-web +ALLOW permitted -> DENY policy_forbids/,
  );

  const wrong = await runPdp('policy', 'promote', ...ops, '--digest', `sha256:${'0'.repeat(64)}`);
  expect([wrong.code, wrong.err]).toEqual([1, expect.stringMatching(/the candidate is sha256:/)]);
  expect((await runPdp('policy', 'rollback', ...ops)).code).toBe(1);
  const promoted = await runPdp('policy', 'promote', ...ops, '--digest', shadow.candidate);
  expect(promoted).toMatchObject({ code: 0, err: '', out: expect.stringContaining(shadow.candidate) });
  await load.goesOn();
  expect((await client.check(checkRequestBytes({ source: WEB }))).allowed).toBe(false);
  expect((await readyz(pdp)).details).toMatchObject({ slot: 'candidate', snapshot: shadow.candidate });
  expect(await (await fetch(`http://${opsOf(pdp)}/policies`)).json()).toMatchObject({
    enforced: 'candidate',
    rollback_to: shadow.active,
    slots: { sets: { enforced: false, digest: shadow.active }, candidate: { enforced: true, policies: 2 } },
  });
  const rolledBack = await runPdp('policy', 'rollback', ...ops, '--json');
  expect(JSON.parse(rolledBack.out)).toMatchObject({ by: 'rollback', digest: shadow.active });
  await load.goesOn();
  await load.stop();
  expect(load.failures).toEqual([]);
  expect([...load.seen.values()].sort()).toEqual(['first', 'second']);
  const metrics = await (await fetch(`http://${opsOf(pdp)}/metrics`)).text();
  expect(metrics).toMatch(/^pdp_shadow_total\{outcome="would_lose"\} 1$/m);

  expect(await pdp.stop()).toBe(0);
  const records = await allRecords(pdp.auditDir);
  const [a, b] = [shadow.active, shadow.candidate];
  expect(activationsIn(records)).toEqual([
    { by: 'start', slot: 'sets', digest: a, before: undefined, policies: 1 },
    { by: 'promote', slot: 'candidate', digest: b, before: a, policies: 2 },
    { by: 'rollback', slot: 'sets', digest: a, before: b, policies: 1 },
  ]);
  // The first answer of the promoted policies comes after the record of the promotion.
  const promotion = records.find(({ by }) => by === 'promote')?.index ?? Infinity;
  const first = records.find(
    ({ kind, snapshot, enforced }) => kind === 'decision' && snapshot === b && enforced === true,
  );
  expect(first?.index).toBeGreaterThan(promotion);
  const answers = new Set(
    records.filter(({ enforced }) => enforced === true).map((record) => record.decision_id),
  );
  expect(answers.size).toBe(load.counts.answered + 2);
  const inShadow = records.filter(({ enforced }) => enforced === false);
  expect(inShadow.length).toBeGreaterThan(0);
  for (const { shadow_of: of } of inShadow) expect(answers.has(of)).toBe(true);
  expect(await verifyLog(pdp.auditDir)).toMatchObject({
    completeness: 'ok',
    problems: [],
    byKind: { policy_activated: 3 },
  });
});

test('a restart remembers a promotion, for the very policies that were promoted', async () => {
  await using active = await createPolicyFolder(permit('first'));
  await using next = await createPolicyFolder(permit('second'));
  const folder = await tempFolder();
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, TOKEN);
  const policies = {
    sets: [active.path],
    candidate: { sets: [next.path] },
    state_file: join(folder, 'state.json'),
    reload_ms: 0,
  };
  const start = () =>
    startPdp({ folder, config: { policies, decision }, env: { PDP_OPS_ADMIN_TOKEN_FILE: tokenFile } });
  const decidedBy = async (pdp: PdpProcess) => {
    using client = connect(`127.0.0.1:${pdp.grpcPort}`);
    return String((await client.check(checkRequestBytes())).metadata['policies']);
  };
  {
    await using pdp = await start();
    expect((await runPdp('policy', 'promote', '--ops', opsOf(pdp), '--token-file', tokenFile)).code).toBe(0);
    expect(await decidedBy(pdp)).toBe('second');
    // As a crash would.
    await pdp.kill();
  }
  {
    await using pdp = await start();
    expect(await decidedBy(pdp)).toBe('second');
    expect(pdp.output()).toContain('the promoted candidate');
  }
  await next.write('main.cedar', permit('third'));
  await using pdp = await start();
  expect(await decidedBy(pdp)).toBe('first');
  expect(pdp.output()).toMatch(/the promoted candidate is not there any more/);
});

test('a bundle is served, and served on after a restart without its source', async () => {
  const pack = async (id: string, revision: number): Promise<Buffer> => {
    await using folder = await createPolicyFolder(permit(id));
    return packBundle([folder.path], { revision, now: 0, privateKey: KEYS.privateKey });
  };
  const folder = await tempFolder();
  const keyFile = join(folder, 'key.pem');
  await writeFile(keyFile, KEYS.publicKey.export({ type: 'spki', format: 'pem' }));
  await using http = await startHttpSource(serving(await pack('first', 7), '"7"'));
  const bundle = { url: http.url, cache_file: join(folder, 'bundle'), public_keys: [keyFile], poll_ms: 100 };
  const config = { policies: { bundle, state_file: join(folder, 'state.json') }, decision };
  const decidedBy = async (pdp: PdpProcess) => {
    using client = connect(`127.0.0.1:${pdp.grpcPort}`);
    return String((await client.check(checkRequestBytes())).metadata['policies']);
  };
  {
    await using pdp = await startPdp({ folder, config });
    expect(await decidedBy(pdp)).toBe('first');
    expect((await readyz(pdp)).details).toMatchObject({
      policy_source: 'bundle',
      policy_revision: 7,
      slot: 'sets',
    });
    http.behave(serving(await pack('second', 8), '"8"'));
    await eventually('the new bundle is in force', async () =>
      (await decidedBy(pdp)) === 'second' ? true : undefined,
    );
    http.behave(serving(await pack('old', 6), '"6"'));
    const refused = await eventually(
      'the old one is refused',
      async () => (await readyz(pdp)).details['refused_change'],
    );
    expect(refused).toMatch(/revision 6, older than revision 8/);
    expect(await decidedBy(pdp)).toBe('second');
    const metrics = await (await fetch(`http://${opsOf(pdp)}/metrics`)).text();
    expect(metrics).toMatch(/^pdp_policy_reloads_total\{outcome="refused",slot="sets"\} 1$/m);
  }
  await http.stop();
  await using pdp = await startPdp({ folder, config });
  expect(await decidedBy(pdp)).toBe('second');
  expect((await readyz(pdp)).details['refused_change']).toMatch(/cannot be fetched/);
});

test('until the first bundle is there every check is denied and readiness says so', async () => {
  await using folder = await createPolicyFolder(permit('first'));
  const files = await tempFolder();
  await using http = await startHttpSource((_request, response) => void response.writeHead(503).end());
  const bundle = { url: http.url, cache_file: join(files, 'bundle'), poll_ms: 100 };
  const { startTestApp, createConfigFolder } = await import('../../support/app.ts');
  await using config = await createConfigFolder({ demo: false, policies: { bundle }, decision });
  const app = await startTestApp(config);
  onTestFinished(() => app.stop());
  using client = connect(app.addresses.grpc);
  const denied = await client.check(checkRequestBytes());
  expect([denied.allowed, denied.metadata['reason']]).toEqual([false, 'policies_unavailable']);
  const ready = await fetch(`http://${app.addresses.ops}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([
    503,
    expect.stringMatching(/no policies are loaded: .*503/),
  ]);
  http.behave(serving(packBundle([folder.path], { revision: 1, now: 0 })));
  await eventually('ready', () => (app.readiness().ready ? true : undefined));
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
});

test('a signed folder that was tampered with is refused, and what was signed stays in force', async () => {
  const root = await tempFolder();
  const files = await tempFolder();
  const keyFile = join(files, 'key.pem');
  await writeFile(keyFile, KEYS.publicKey.export({ type: 'spki', format: 'pem' }));
  await mkdir(join(root, 'app'));
  await writeFile(join(root, 'schema.cedarschema'), SAMPLE_SCHEMA);
  await writeFile(join(root, 'app/main.cedar'), permit('first') + forbidWeb);
  await signFolder(root, readRootFolder(root), { revision: 1, privateKey: KEYS.privateKey, now: 0 });
  const signed = { dir: root, public_keys: [keyFile] };
  const config = {
    policies: { signed_dir: signed, state_file: join(files, 'state.json'), reload_ms: 20 },
    decision,
  };
  await using pdp = await startPdp({ folder: files, config });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  await writeFile(join(root, 'app/main.cedar'), permit('first'));
  const refused = await eventually(
    'it is refused',
    async () => (await readyz(pdp)).details['refused_change'],
  );
  expect(refused).toMatch(/main\.cedar/);
  expect((await client.check(checkRequestBytes({ source: WEB }))).allowed).toBe(false);
  // A restart has nothing to fall back on: it does not serve what nobody signed.
  expect(await pdp.stop()).toBe(0);
  await expect(startPdp({ folder: files, config })).rejects.toThrow(/main\.cedar/);
});

test('commands say what is wrong: nobody there, no token, another token, no candidate', async () => {
  await using active = await createPolicyFolder(permit('first'));
  const folder = await tempFolder();
  const [tokenFile, otherFile] = [join(folder, 'token'), join(folder, 'other')];
  await writeFile(tokenFile, TOKEN);
  await writeFile(otherFile, `${TOKEN}x`);
  const policies = { sets: [active.path], state_file: join(folder, 'state.json') };
  await using pdp = await startPdp({
    folder,
    config: { policies },
    env: { PDP_OPS_ADMIN_TOKEN_FILE: tokenFile },
  });
  const ops = ['--ops', opsOf(pdp)] as const;
  const told = async (...args: string[]) => {
    const { code, err } = await runPdp('policy', ...args);
    return [code, err.trim()];
  };
  expect(await told('promote', ...ops)).toEqual([2, expect.stringMatching(/needs the admin token/)]);
  expect(await told('promote', ...ops, '--token-file', otherFile)).toEqual([
    2,
    expect.stringMatching(/not the admin token/),
  ]);
  expect(await told('promote', ...ops, '--token-file', tokenFile)).toEqual([
    1,
    'pdp: there is no candidate to promote',
  ]);
  expect(await told('rollback', ...ops, '--token-file', tokenFile)).toEqual([
    1,
    expect.stringMatching(/nothing was promoted/),
  ]);
  expect(await told('shadow', ...ops, '--token-file', tokenFile)).toEqual([
    2,
    expect.stringMatching(/no candidate is configured/),
  ]);
  expect(await told('promote', ...ops, '--token-file', tokenFile, '--digest', 'x')).toEqual([
    2,
    expect.stringMatching(/the body must be/),
  ]);
  expect(await told('promote', ...ops, '--token-file', join(folder, 'nowhere'))).toEqual([
    2,
    expect.stringMatching(/cannot be read/),
  ]);
  expect(await told('shadow', '--ops', 'nowhere')).toEqual([2, expect.stringMatching(/is not HOST:PORT/)]);
  expect(await told('shadow', '--ops', '127.0.0.1:1')).toEqual([3, expect.stringMatching(/does not answer/)]);
  expect(await told('promote', 'extra')).toEqual([2, expect.stringMatching(/expected no argument/)]);
});
