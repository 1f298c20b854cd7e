import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Pip } from '../../../../src/config/pips.ts';

const DOCS = readFileSync(new URL('../../../../docs/information-points.md', import.meta.url), 'utf8');

function point(changes: object = {}): object {
  const list = { name: 'tor', file: 'tor.txt' };
  return { name: 'intel', kind: 'threat_intel', subject: 'ip', lists: [list], ...changes };
}

function problems(value: object): string[] {
  const { error } = Pip.safeParse(value);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('the configuration of threat lists', () => {
  test('is as the documentation shows it', () => {
    const section = DOCS.slice(DOCS.indexOf('### `threat_intel`'));
    const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(section) ?? [];
    const { pips } = parse(yaml) as { readonly pips: readonly object[] };
    expect(pips.map((pip) => Pip.parse(pip))).toMatchObject([
      {
        on_failure: 'deny',
        fresh_ms: 30_000,
        lists: [
          {
            name: 'botnet',
            refresh_ms: 300_000,
            max_age_s: 7_200,
            max_entries: 1_000_000,
            may_be_empty: false,
          },
          {
            name: 'blocked',
            refresh_ms: 1_000,
            max_age_s: 86_400,
            max_bytes: 67_108_864,
            may_be_empty: true,
          },
        ],
      },
    ]);
  });

  test.each<[string, object]>([
    [
      'a list twice',
      {
        lists: [
          { name: 'tor', file: 'a' },
          { name: 'tor', file: 'b' },
        ],
      },
    ],
    ['no list', { lists: [] }],
    ['a list from nowhere', { lists: [{ name: 'tor' }] }],
    ['a list from two places', { lists: [{ name: 'tor', file: 'a', url: 'https://feeds.example.com' }] }],
    ['a list over plain HTTP', { lists: [{ name: 'tor', url: 'http://feeds.example.com' }] }],
    ['a token for a file', { lists: [{ name: 'tor', file: 'a', token_file: 'b' }] }],
    ['another subject', { subject: 'tenant' }],
    ['a last known state, which a list always is', { on_failure: 'last_known' }],
    ['attributes of its own choice', { gives: ['threats'] }],
    ['more bytes than can be read', { lists: [{ name: 'tor', file: 'a', max_bytes: 1e9 }] }],
  ])('is refused with %s', (_what, changes) => {
    expect(problems(point())).toEqual([]);
    expect(problems(point(changes))).not.toEqual([]);
  });

  test('names the list whose name was taken', () => {
    const lists = ['a', 'b', 'a'].map((name) => ({ name, file: name }));
    expect(problems(point({ lists }))).toEqual(['lists.2.name: is the name of another list']);
  });
});
