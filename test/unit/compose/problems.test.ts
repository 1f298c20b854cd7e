import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createConfigFolder, runPdp, startTestApp } from '../../support/app.ts';

const STAFF = {
  name: 'staff',
  issuer: 'https://idp.example.com',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  jwks: { file: 'jwks.json' },
};
const TWIN = { ...STAFF, name: 'twin' };
const dashed = { attributes: { 'a-b': { claim: 'a', type: 'string' } } };

async function folderWith(config: Readonly<Record<string, unknown>>) {
  const folder = await createConfigFolder(config);
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}

test.each<[string, object[], string]>([
  [
    'users and applications whose tokens are alike',
    [STAFF, { ...TWIN, use: 'application' }],
    "issuer 'twin': has the same issuer, audience and type of token as 'staff', and another use",
  ],
  ['two issuers of one `iss`', [STAFF, TWIN], "issuer 'twin': has the same issuer and use as 'staff'"],
  [
    'an attribute that policies cannot name',
    [{ ...STAFF, claims: dashed }],
    "issuer 'staff': claims.attributes.a-b: must be named like a Cedar identifier",
  ],
  [
    'devices bound by their issuer',
    [{ ...STAFF, use: 'device', binding: 'certificate' }],
    "issuer 'staff': binding: is for issuers of users",
  ],
  [
    'devices with a header of their issuer',
    [{ ...STAFF, use: 'device', header: 'x-posture' }],
    "issuer 'staff': header: is for issuers of users",
  ],
])('%s are refused by config check as by serve', async (_what, issuers, problem) => {
  const folder = await folderWith({ issuers });
  const { code, out, err } = await runPdp('config', 'check', '-c', folder.configFile);
  expect([code, out]).toEqual([2, '']);
  expect(err).toContain(problem);
  await expect(startTestApp(folder)).rejects.toThrow(problem);
});

test('config check tells the problems of all issuers, alone and together', async () => {
  const issuers = [STAFF, TWIN, { ...STAFF, name: 'mapped', issuer: 'https://other', claims: dashed }];
  const { configFile } = await folderWith({ issuers });
  const { err } = await runPdp('config', 'check', '-c', configFile);
  expect(err).toMatch(/issuer 'mapped': claims\.attributes\.a-b/);
  expect(err).toMatch(/issuer 'twin': has the same issuer/);
});

test('config check fetches no key and reads none', async () => {
  const issuers = [{ ...STAFF, jwks: { file: join('nowhere', 'jwks.json') } }];
  const { configFile } = await folderWith({ issuers });
  expect((await runPdp('config', 'check', '-c', configFile)).code).toBe(0);
});
