import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type PdpProcess, startPdp } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { type RawClient, connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from './load.ts';

const SERVING = 1;
const NOT_SERVING = 2;

/** Everything that a health watcher of the whole server was told so far. */
function watch(client: RawClient): readonly number[] {
  const seen: number[] = [];
  const asIs = (bytes: Buffer) => bytes;
  const stream = client.client.makeServerStreamRequest(
    '/grpc.health.v1.Health/Watch',
    asIs,
    asIs,
    Buffer.alloc(0),
    new Metadata(),
  );
  stream.on('data', (bytes: Buffer) => void seen.push(bytes[1] ?? 0));
  stream.on('error', () => undefined);
  onTestFinished(() => stream.cancel());
  return seen;
}

/** A folder that goes away and comes back in one step, whoever writes to it meanwhile: its path is a link. */
async function mountedFolder() {
  const root = await mkdtemp(join(tmpdir(), 'pdp-health-'));
  const path = join(root, 'audit');
  const [files, noFolder] = [join(root, 'files'), join(root, 'no-folder')];
  const point = async (target: string) => {
    await symlink(target, `${path}.new`);
    await rename(`${path}.new`, path);
  };
  await mkdir(files);
  await writeFile(noFolder, '');
  await point(files);
  return {
    path,
    unmount: () => point(noFolder),
    mount: () => point(files),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true, maxRetries: 20 }),
  };
}

const ready = async (pdp: PdpProcess) => {
  const answer = await fetch(`http://127.0.0.1:${pdp.opsPort}/readyz`);
  return { status: answer.status, body: await answer.text() };
};

test('a decision log that breaks denies, and turns readiness and health watchers; both come back with it', async () => {
  await using folder = await mountedFolder();
  await using pdp = await startPdp({
    config: sampleConfig({ audit: { dir: folder.path, segment_bytes: 65_536 } }),
  });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const seen = watch(client);
  await eventually('serving', () => (seen.at(-1) === SERVING ? true : undefined));
  await folder.unmount();
  // An open file is still written to; the pack of the first decisions cannot be made.
  const denied = await eventually('a deny', async () => {
    const checks = Array.from({ length: 20 }, () => client.check(checkRequestBytes()));
    return (await Promise.all(checks)).find(({ allowed }) => !allowed);
  });
  expect(denied).toMatchObject({
    httpStatus: 503,
    metadata: { decision: 'DENY', reason: 'audit_unavailable' },
  });
  expect(denied.body).not.toContain(folder.path);
  await eventually('not serving', () => (seen.at(-1) === NOT_SERVING ? true : undefined));
  expect(await ready(pdp)).toMatchObject({
    status: 503,
    body: expect.stringContaining('the decision log cannot be written') as string,
  });
  await folder.mount();
  await eventually('serving again', () => (seen.at(-1) === SERVING ? true : undefined));
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
});

test('health watchers are told of the drain while checks are still answered', async () => {
  await using pdp = await startPdp({ config: sampleConfig({ shutdown: { lag_ms: 1000, grace_ms: 200 } }) });
  using client = connect(`127.0.0.1:${pdp.grpcPort}`);
  const seen = watch(client);
  await eventually('serving', () => (seen.at(-1) === SERVING ? true : undefined));
  const stopping = pdp.stop();
  await eventually('not serving', () => (seen.at(-1) === NOT_SERVING ? true : undefined));
  expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  expect(await ready(pdp)).toMatchObject({
    status: 503,
    body: expect.stringContaining('shutting down') as string,
  });
  expect(await stopping).toBe(0);
  expect([...new Set(seen)]).toEqual([SERVING, NOT_SERVING]);
});

test('keys are needed to become ready; an issuer that goes away later is a warning', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-keys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const file = join(folder, 'jwks.json');
  const issuer = {
    name: 'late',
    issuer: 'https://late.example',
    audiences: ['pdp'],
    algorithms: ['ES256'],
    jwks: { file },
  };
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }];
  await writeFile(file, JSON.stringify({ keys }));
  await using pdp = await startPdp({ config: sampleConfig({ issuers: [issuer] }) });
  expect((await ready(pdp)).status).toBe(200);
  await writeFile(file, JSON.stringify({ keys: [] }));
  const { status } = await eventually('a warning', async () => {
    const answer = await ready(pdp);
    return answer.body.includes("no usable keys of issuer 'late'") ? answer : undefined;
  });
  expect(status).toBe(200);
});
