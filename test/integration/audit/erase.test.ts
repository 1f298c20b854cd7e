import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { runPdp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { startPdp } from '../../support/pdp-process.ts';
import { checkRequestBytes } from '../../support/requests.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { connect } from '../../unit/api/grpc-client.ts';
import { sampleConfig } from '../serve/load.ts';

/** The text of all files of a folder whose names match, decompressed. A server may compress one while we look: then we look again. */
async function textOf(dir: string, pattern: RegExp): Promise<string> {
  return await eventually('all files are read', () =>
    readAll(dir, pattern).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return undefined;
    }),
  );
}

async function readAll(dir: string, pattern: RegExp): Promise<string> {
  const names = (await readdir(dir)).filter((name) => pattern.test(name));
  const texts = names.map(async (name) => {
    const bytes = await readFile(join(dir, name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  });
  return (await Promise.all(texts)).join('');
}

const LINES = /\.ndjson/;
const PACKS = /\.blobs/;

/** A PDP that writes pseudonyms, and the questions that people ask it. */
async function servePrivately() {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-erase-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const issuer = await createTestIssuer({ issuer: 'https://idp.example', audience: 'pdp' });
  await writeFile(join(folder, 'jwks.json'), JSON.stringify(issuer.jwks));
  const file = (name: string) => join(folder, name);
  const audit = {
    dir: file('audit'),
    segment_max_age_s: 2,
    checkpoint_ms: 200,
    keys: { identity_file: file('identity.pem') },
    privacy: { key_file: file('privacy.key') },
  };
  const trusted = {
    audiences: ['pdp'],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    jwks: { file: file('jwks.json') },
  };
  const issuers = [{ name: 'corp', issuer: issuer.issuer, ...trusted }];
  const pdp = await startPdp({ folder, config: sampleConfig({ audit, issuers, pips: [] }) });
  const client = connect(`127.0.0.1:${pdp.grpcPort}`);
  onTestFinished(() => client[Symbol.dispose]());
  const ask = async (sub: string, path: string) => {
    const authorization = `Bearer ${await issuer.sign({ sub })}`;
    return await client.check(
      checkRequestBytes({ method: 'GET', path, headers: [['authorization', authorization]] }),
    );
  };
  const erase = (...args: string[]) => runPdp('audit', 'erase', '--config', file('pdp.yaml'), ...args);
  return { pdp, ask, erase, folder, dir: audit.dir };
}

test('a person is erased from the log of a PDP that goes on serving, and the log stays sound', async () => {
  const { pdp, ask, erase, folder, dir } = await servePrivately();
  for (let i = 0; i < 5; i++) {
    await ask('wilhelmina', `/people/wilhelmina/${i}`);
    await ask('balthasar', `/people/balthasar/${i}`);
  }
  await eventually('a pack is compressed', async () => {
    await ask('wilhelmina', '/people/wilhelmina/again');
    return (await readdir(dir)).some((name) => name.endsWith('.blobs.gz')) || undefined;
  });
  expect(await textOf(dir, LINES)).not.toMatch(/wilhelmina|balthasar/);
  expect(await textOf(dir, PACKS)).toContain('wilhelmina');
  expect((await stat(join(folder, 'privacy.key'))).mode & 0o777).toBe(0o600);
  const dry = await erase('--subject', 'user:corp/wilhelmina', '--dry-run', '--json');
  expect(JSON.parse(dry.out)).toMatchObject({
    dry_run: true,
    subject: expect.stringMatching(/^~/) as string,
  });
  const done = await erase('--subject', 'user:corp/wilhelmina', '--reason', 'ticket 17');
  expect(done).toMatchObject({ code: 0, err: '', out: expect.stringContaining('erased, as') as string });
  expect(await textOf(dir, PACKS)).not.toContain('wilhelmina');
  expect(await textOf(dir, PACKS)).toContain('balthasar');
  await eventually(
    'both records are there',
    async () => (await textOf(dir, LINES)).split('"kind":"erased"').length === 3 || undefined,
  );
  await ask('balthasar', '/people/balthasar/after');
  expect(await pdp.stop()).toBe(0);
  expect(await textOf(dir, LINES)).not.toMatch(/wilhelmina|balthasar/);
  const verified = await runPdp('audit', 'verify', dir);
  expect(verified.out).toMatch(/INTEGRITY:\s+OK/);
  expect(verified.code).toBe(0);
  const replayed = await runPdp('audit', 'replay', dir, '--json');
  expect(JSON.parse(replayed.out)).toMatchObject({ mismatch: 0 });
  expect(replayed.out).toContain('erased');
});

test('a person is erased from a log that nobody writes, once and for all', async () => {
  const { pdp, ask, erase, dir } = await servePrivately();
  await ask('wilhelmina', '/people/wilhelmina');
  expect(await pdp.stop()).toBe(0);
  const args = ['--subject', 'user:corp/wilhelmina', '--reason', 'ticket 17'];
  expect((await erase(...args)).out).toContain('erased, as');
  expect(await textOf(dir, PACKS)).not.toContain('wilhelmina');
  expect((await erase(...args)).out).toContain('nothing is kept of it');
  const verified = await runPdp('audit', 'verify', dir);
  expect(verified.out).not.toMatch(/INTEGRITY:\s+FAILED/);
});

test.each([
  [['--subject', 'alice', '--reason', 'r'], /KIND:ID/],
  [['--subject', 'planet:earth', '--reason', 'r'], /KIND:ID/],
  [['--reason', 'r'], /KIND:ID/],
  [['--subject', 'user:corp/alice'], /needs words/],
  [['--subject', 'user:corp/alice', '--reason', 'because alice asked'], /names the subject/],
  [['--subject', 'user:corp/alice', '--reason', 'r'], /audit.privacy is not configured/],
  [['--subject', 'user:corp/alice', '--reason', 'r', '--key-file', '/nowhere/key'], /cannot be read/],
])('refuses %j', async (args, words) => {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-erase-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  await writeFile(join(folder, 'pdp.yaml'), JSON.stringify(sampleConfig({ grpc: { plaintext: true } })));
  const answer = await runPdp('audit', 'erase', folder, '--config', join(folder, 'pdp.yaml'), ...args);
  expect(answer).toMatchObject({ code: 2, err: expect.stringMatching(words) as string });
});
