import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { redisServerOf } from '../../../src/compose/redis.ts';
import { ConfigSchema } from '../../../src/config.ts';

const base = { grpc: { plaintext: true }, policies: { sets: ['p'] } };

function parsed(shared_state: object) {
  return ConfigSchema.safeParse({ ...base, shared_state });
}

function problemsOf(shared_state: object): readonly string[] {
  const { error } = parsed(shared_state);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

const CLUSTER = { kind: 'redis', cluster: { urls: ['redis://a', 'redis://b'] } };

describe('the configuration of the shared state', () => {
  test('is embedded without a journal where nothing is said', () => {
    expect(ConfigSchema.parse(base).shared_state).toEqual({
      kind: 'embedded',
      timeout_ms: 1_000,
      max_entries: 100_000,
    });
  });

  test('is taken as the documentation shows it', async () => {
    const page = await readFile(new URL('../../../docs/shared-state.md', import.meta.url), 'utf8');
    const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(
      ([, yaml = '']) => parse(yaml) as unknown,
    );
    expect(examples.length).toBeGreaterThan(2);
    for (const example of examples) expect(ConfigSchema.safeParse(example).error?.issues).toBeUndefined();
  });

  test('reaches the connection whole', () => {
    const config = ConfigSchema.parse({
      ...base,
      shared_state: {
        kind: 'redis',
        sentinel: { urls: ['rediss://s'], master: 'm', password_file: '/s' },
        username: 'u',
        password_file: '/p',
        ca_file: '/ca',
        cert_file: '/c',
        key_file: '/k',
      },
    }).shared_state;
    if (config.kind !== 'redis') throw new Error('it is in Redis');
    expect(redisServerOf(config)).toEqual({
      sentinel: { urls: ['rediss://s'], master: 'm', passwordFile: '/s' },
      username: 'u',
      passwordFile: '/p',
      caFile: '/ca',
      certFile: '/c',
      keyFile: '/k',
    });
  });

  test.each<[string, object, RegExp]>([
    ['no Redis', { kind: 'redis' }, /^shared_state\.url: give exactly one/],
    ['two Redis', { ...CLUSTER, url: 'redis://a' }, /^shared_state\.url: give exactly one/],
    ['a password in the URL', { kind: 'redis', url: 'redis://u:p@h' }, /url: must be redis:/],
    [
      'half of it over TLS',
      { kind: 'redis', cluster: { urls: ['redis://a', 'rediss://b'] } },
      /cluster\.urls: are partly/,
    ],
    [
      'authorities without TLS',
      { kind: 'redis', url: 'redis://a', ca_file: '/ca' },
      /ca_file: has no effect/,
    ],
    [
      'a certificate without a key',
      { kind: 'redis', url: 'rediss://a', cert_file: '/c' },
      /key_file: goes together/,
    ],
    ['keys all over a cluster', { ...CLUSTER, key_prefix: 'pdp:' }, /key_prefix: needs a part in braces/],
    ['a journal beside Redis', { ...CLUSTER, journal: '/j' }, /Unrecognized key/],
  ])('with %s is refused', (_what, config, problem) => {
    expect(problemsOf(config).join('\n')).toMatch(problem);
  });
});
