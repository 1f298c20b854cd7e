import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';

const page = readFileSync(new URL('../../docs/information-points.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```/gms)]
  .map(([, text = '']) => text)
  .filter((text) => text.startsWith('pips:'));

test('the page has examples', () => {
  expect(examples.length).toBeGreaterThan(0);
});

test.each(examples)('this example is a valid configuration:\n%s', (text) => {
  const example = parse(text) as object;
  const { error } = ConfigSchema.safeParse({
    grpc: { plaintext: true },
    policies: { sets: ['p'] },
    ...example,
  });
  expect(error?.issues ?? []).toEqual([]);
});
