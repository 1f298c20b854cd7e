import { describe, expect, test } from 'vitest';
import { OnwardIdentity } from '../../../src/config/onward.ts';
import { Devices } from '../../../src/config/devices.ts';

const ISSUER = 'https://pdp.example.com';
const problemsOf = (config: object) =>
  OnwardIdentity.safeParse({ issuer: ISSUER, ...config }).error?.issues.map(({ path }) => path.join('.')) ??
  [];

describe('onward_identity', () => {
  test('needs an issuer, and has a good default for the rest', () => {
    expect(OnwardIdentity.parse({ issuer: ISSUER })).toEqual({
      issuer: ISSUER,
      header: 'x-pdp-identity',
      ttl_s: 30,
      audience: 'service',
      algorithm: 'EdDSA',
      user_claims: [],
      keys: { publish_ahead_s: 300 },
    });
    expect(OnwardIdentity.safeParse({}).success).toBe(false);
  });

  test.each<[string, object, string]>([
    ['a life of more than a minute', { ttl_s: 61 }, 'ttl_s'],
    ['a life of nothing', { ttl_s: 0 }, 'ttl_s'],
    ['an algorithm that is not ours', { algorithm: 'HS256' }, 'algorithm'],
    ['no issuer', { issuer: '' }, 'issuer'],
    ['no audience', { audience: '' }, 'audience'],
    ['a key that is replaced before it has begun', { keys: { rotate_s: 600 } }, 'keys.rotate_s'],
    ['a day that is too short', { keys: { publish_ahead_s: 43_200 } }, 'keys.rotate_s'],
    ['a rotation of keys from a folder', { keys: { dir: 'd', rotate_s: 86_400 } }, 'keys.rotate_s'],
    ['a key it does not know', { key: 'x' }, ''],
  ])('refuses %s', (_what, config, path) => {
    expect(problemsOf(config)).toEqual([path]);
  });

  test.each([
    'X-Identity',
    'x_identity',
    'x-a-b-c-d-e-f-g-h',
    'x--identity',
    '-x',
    'authorization',
    'cookie',
    'host',
    'te',
    'content-length',
    'x-forwarded-client-cert',
    'x-envoy-peer',
    'x-pdp-decision-id',
  ])('refuses %s as its header', (header) => {
    expect(new Set(problemsOf({ header }))).toEqual(new Set(['header']));
  });

  test('takes another header', () => {
    expect(problemsOf({ header: 'x-caller' })).toEqual([]);
  });
});

describe('devices', () => {
  test('takes assertions that are not bound and a day old, unless told otherwise', () => {
    expect(Devices.parse({})).toEqual({
      assertion_header: 'x-device-assertion',
      require_binding: false,
      max_posture_age_s: 86_400,
      max_posture_age_s_by_issuer: {},
    });
    expect(Devices.safeParse({ max_posture_age_s: 0 }).success).toBe(false);
    expect(Devices.safeParse({ max_posture_age_s_by_issuer: { mdm: 0 } }).success).toBe(false);
    expect(Devices.safeParse({ max_posture_age_s_by_issuer: { 'M D M': 5 } }).success).toBe(false);
  });
});
