import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifierOf, prepareIdentity } from '../../../src/audit/seal/log-identity.ts';
import { verifierKeyText } from '../../../src/audit/tlog/note-key.ts';
import { auditKey } from '../../../src/cli/audit-key.ts';
import { InputError } from '../../../src/pdp/errors.ts';
import { tempDir } from '../audit/log-fixture.ts';

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  const code = await auditKey.run(args, {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    interactive: false,
  });
  return { code, ...said };
}

/** A folder with the key of a log, and that key. */
function sealedFolder(): { readonly dir: string; readonly vkey: string } {
  const dir = tempDir();
  const identity = { dir, origin: 'example.com/pdp/a', identityFile: join(tempDir(), 'identity.pem') };
  prepareIdentity(identity);
  return { dir, vkey: verifierKeyText(verifierOf(identity)) };
}

describe('pdp audit key', () => {
  it('prints the verifier key alone, and beside it what to do with it', async () => {
    const { dir, vkey } = sealedFolder();
    const { code, out, err } = await run(dir);
    expect({ code, out }).toEqual({ code: 0, out: `${vkey}\n` });
    expect(err).toMatch(/Keep a copy where those who run the log cannot change it/);
  });

  it('prints JSON for machines', async () => {
    const { dir, vkey } = sealedFolder();
    expect(JSON.parse((await run(dir, '--json')).out)).toEqual({ log: 'example.com/pdp/a', vkey });
  });

  it('refuses a folder without a key, a key that is none, and more than one folder', async () => {
    const dir = tempDir();
    await expect(run(dir)).rejects.toThrow(/the log was never sealed/);
    mkdirSync(join(dir, 'keys'));
    writeFileSync(join(dir, 'keys/identity.vkey'), 'no key\n');
    await expect(run(dir)).rejects.toThrow(InputError);
    await expect(run(dir, dir)).rejects.toThrow(/one DIR at most/);
  });
});
