import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { revoke } from '../../src/cli/revoke.ts';
import { ConfigSchema } from '../../src/config.ts';
import { readShutOffs } from '../../src/pip/revocation/shut-off-file.ts';

const page = readFileSync(new URL('../../docs/revocation.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text);

test('the configuration on the page is valid', () => {
  const [text = ''] = examples.filter((example) => example.startsWith('revocation:'));
  const base = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
  const { error } = ConfigSchema.safeParse({ ...base, ...(parse(text) as object) });
  expect(error?.issues ?? []).toEqual([]);
});

test('the file on the page is one', () => {
  const [text = ''] = examples.filter((example) => example.startsWith('- '));
  expect(readShutOffs('f', text, 0)).toHaveLength(2);
});

test('the options on the page are those of the command', () => {
  const used = page.match(/pdp revoke .*--[a-z-]+/g)?.flatMap((line) => line.match(/--[a-z-]+/g) ?? []) ?? [];
  expect(used.length).toBeGreaterThan(4);
  for (const option of used) expect(revoke.usage).toContain(option);
});
