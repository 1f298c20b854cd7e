import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { createConfigFolder, startTestApp } from '../../support/app.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

test('examples/ask.mjs is answered by what the quick start serves', async () => {
  const { check } = parse(await readFile(at('deploy/local/pdp.yaml'), 'utf8')) as { check: unknown };
  await using folder = await createConfigFolder({ check });
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const ask = promisify(execFile);
  const { stdout, stderr } = await ask(process.execPath, [at('examples/ask.mjs'), app.addresses.grpc]);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^DECISION_DENY no_permit\nDenied by:\n {2}forbid mesh\.only-payment-api/);
  expect(stdout).toMatch(/Permits that came near:\n {2}permit mesh\.payment-api-posts-entries/);
});
