import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FIELDS } from './record-fields.ts';

const page = readFileSync(new URL('../../../../docs/audit-log.md', import.meta.url), 'utf8');

test('docs/audit-log.md describes every field of a decision record, in order, and no other', () => {
  const section = page.slice(
    page.indexOf('## The record'),
    page.indexOf('\nWhat a line refers to by digest'),
  );
  const rows = [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  expect(rows).toEqual([...FIELDS.split(' '), 'pseudonyms', 'withheld']);
});
