import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { ConfigSchema } from '../../src/config.ts';
import { EVENT_NAMES } from '../../src/pip/ssf/events/event-types.ts';
import { SET_ERRORS } from '../../src/pip/ssf/security-event-token.ts';

const page = readFileSync(new URL('../../docs/event-streams.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text);

test('the page has an example', () => {
  expect(examples).toHaveLength(1);
});

test.each(examples)('this example is a valid configuration:\n%s', (text) => {
  const config = { grpc: { plaintext: true }, policies: { sets: ['p'] }, ...(parse(text) as object) };
  expect(ConfigSchema.safeParse(config).error?.issues ?? []).toEqual([]);
});

test('the page tells every code of a refusal, and what every event does', () => {
  expect(SET_ERRORS.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  const rest = (name: string): boolean =>
    /^(?:opt|recovery)-/.test(name) || /^(?:verification|stream-updated)$/.test(name);
  expect(EVENT_NAMES.filter((name) => !rest(name) && !page.includes(`\`${name}\``))).toEqual([]);
});
