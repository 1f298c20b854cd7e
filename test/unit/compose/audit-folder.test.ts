import { expect, test } from 'vitest';
import { openIn } from '../../../src/compose/audit-folder.ts';

function failing(code: string): () => Promise<never> {
  return () => Promise.reject(Object.assign(new Error(`${code}: so says the system`), { code }));
}

test('a folder that cannot be used is named with its setting, what the system says, and what to do', async () => {
  await expect(openIn('/var/log/pdp', failing('ENOSPC'))).rejects.toThrow(
    /^the decision log cannot be opened in \/var\/log\/pdp \(audit\.dir\): ENOSPC: so says the system: make room there .*audit\.retention/,
  );
  await expect(openIn('/var/log/pdp', failing('EACCES'))).rejects.toThrow(
    /audit\.dir.*EACCES.*can write to$/,
  );
});

test('what is wrong with something else is told as it is', async () => {
  const fault = new Error('the log of another origin');
  await expect(openIn('/var/log/pdp', () => Promise.reject(fault))).rejects.toBe(fault);
  await expect(openIn('/var/log/pdp', failing('ECONNREFUSED'))).rejects.toThrow(/^ECONNREFUSED: so says/);
  expect(await openIn('/var/log/pdp', () => Promise.resolve(1))).toBe(1);
});
