import { describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const FILE = {
  kind: 'static_file',
  name: 'directory',
  subject: 'user',
  gives: ['groups', 'level'],
  file: 'f',
};
const REDIS = {
  kind: 'redis',
  name: 'posture',
  subject: 'device',
  gives: ['risk', 'managed'],
  url: 'redis://r',
  key_prefix: 'p:',
};

function parse(point: object) {
  return ConfigSchema.safeParse({ grpc: { plaintext: true }, policies: { sets: ['p'] }, pips: [point] });
}

function problems(point: object): readonly string[] {
  return (parse(point).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

const THREATS = { kind: 'threat_intel', subject: 'ip', lists: [{ name: 'tor', file: 'tor.txt' }] };

test.each<[string, readonly object[]]>([
  [
    'two points of lists',
    [
      { ...THREATS, name: 'a' },
      { ...THREATS, name: 'b' },
    ],
  ],
  [
    'lists and another point',
    [
      { ...THREATS, name: 'a' },
      { ...REDIS, name: 'b', subject: 'ip', gives: ['threats'] },
    ],
  ],
  [
    'another point and lists',
    [
      { ...REDIS, name: 'a', subject: 'ip', gives: ['threats'] },
      { ...THREATS, name: 'b' },
    ],
  ],
])('threats of one subject come from one point, not from %s', (_name, pips) => {
  const config = { grpc: { plaintext: true }, policies: { sets: ['p'] }, pips };
  expect(ConfigSchema.safeParse(config).error?.issues).toMatchObject([
    { path: ['pips', 1, 'subject'], message: expect.stringContaining("'a' gives threats") as string },
  ]);
});

test('threats of different subjects may come from different points', () => {
  const pips = [
    { ...THREATS, name: 'a' },
    { ...THREATS, name: 'b', subject: 'user' },
  ];
  const config = { grpc: { plaintext: true }, policies: { sets: ['p'] }, pips };
  expect(ConfigSchema.safeParse(config).success).toBe(true);
});

describe('an information point outside of this process', () => {
  test('has defaults for all that keeps it from doing harm', () => {
    expect(parse(REDIS).data?.pips[0]).toMatchObject({
      on_failure: 'deny',
      on_failure_by_attribute: {},
      fresh_ms: 30_000,
      max_stale_ms: 0,
      absent_ms: 2_000,
      timeout_ms: 20,
      concurrency: 256,
      queue: 1_024,
      breaker: { failures: 5, pause_ms: 1_000 },
      cache_entries: 100_000,
      cache_max_bytes: 67_108_864,
    });
  });

  test('can say of each attribute what its absence means', () => {
    const on_failure_by_attribute = { risk: 'last_known', managed: 'omit' };
    expect(problems({ ...REDIS, on_failure_by_attribute, max_stale_ms: 1_000 })).toEqual([]);
  });

  test('is refused where what was known last has no bound', () => {
    const needs = 'last_known needs max_stale_ms: for how long what was known last may be used';
    expect(problems({ ...REDIS, on_failure: 'last_known' })).toEqual([`pips.0.on_failure: ${needs}`]);
    expect(problems({ ...REDIS, on_failure_by_attribute: { risk: 'last_known' } })).toEqual([
      `pips.0.on_failure_by_attribute.risk: ${needs}`,
    ]);
  });

  test.each(['other', '__proto__', 'toString'])('is refused where it does not give %s', (attribute) => {
    const on_failure_by_attribute = JSON.parse(`{"${attribute}":"omit"}`) as object;
    expect(problems({ ...REDIS, on_failure_by_attribute }).join()).toMatch(
      attribute === '__proto__' ? /^$|is not in gives/ : /is not in gives/,
    );
  });

  test.each<[string, object]>([
    ['fresh_ms', { fresh_ms: 0 }],
    ['max_stale_ms', { max_stale_ms: -1 }],
    ['timeout_ms', { timeout_ms: 60_001 }],
    ['concurrency', { concurrency: 0 }],
    ['queue', { queue: -1 }],
    ['breaker.failures', { breaker: { failures: 0 } }],
    ['breaker.pause_ms', { breaker: { pause_ms: 0 } }],
    ['cache_entries', { cache_entries: 0 }],
    ['cache_max_bytes', { cache_max_bytes: 1 }],
    ['on_failure', { on_failure: 'allow' }],
  ])('is refused where %s is out of bounds', (path, change) => {
    expect(problems({ ...REDIS, ...change }).join()).toContain(`pips.0.${path}`);
  });
});

describe('an information point in this process', () => {
  test('can say of each attribute what a wrong answer means', () => {
    expect(problems({ ...FILE, on_failure_by_attribute: { level: 'omit' } })).toEqual([]);
    expect(problems({ ...FILE, on_failure_by_attribute: { other: 'omit' } })).toEqual([
      "pips.0.on_failure_by_attribute.other: 'other' is not in gives",
    ]);
  });

  test.each<[string, object]>([
    ['last_known: it knows all it knows', { on_failure: 'last_known' }],
    ['a timeout', { timeout_ms: 20 }],
    ['a breaker', { breaker: { failures: 1 } }],
    ['a bound for stale answers', { max_stale_ms: 1 }],
    ['a cache', { cache_entries: 1 }],
  ])('does not take %s', (_what, change) => {
    expect(problems({ ...FILE, ...change })).toHaveLength(1);
  });
});
