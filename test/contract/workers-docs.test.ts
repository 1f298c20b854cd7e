import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';

const page = readFileSync(new URL('../../docs/workers.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text);

test('the page has an example', () => {
  expect(examples).toHaveLength(1);
});

test.each(examples)('this example is a valid configuration:\n%s', (text) => {
  expect(ConfigSchema.safeParse(parse(text)).error?.issues ?? []).toEqual([]);
});
