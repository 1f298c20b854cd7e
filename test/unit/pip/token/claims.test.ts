import { describe, expect, test } from 'vitest';
import { mapClaims } from '../../../../src/pip/token/claims.ts';
import { type ClaimMapping, type TokenUse, createIssuer } from '../../../../src/pip/token/issuer.ts';

function map(payload: object, claims: ClaimMapping, use: TokenUse = 'user') {
  const issuer = createIssuer({
    name: 'staff',
    issuer: 'https://id.example.com',
    use,
    audiences: ['api'],
    algorithms: ['ES256'],
    types: ['JWT'],
    claims,
  });
  return mapClaims(issuer, payload as Record<string, unknown>);
}

function attribute(type: 'string' | 'long' | 'bool' | 'string_set', value: unknown): unknown {
  const mapped = map({ x: value }, { attributes: { x: { claim: 'x', type } } });
  return 'refusal' in mapped ? mapped.refusal : mapped.claims['x'];
}

describe('claim mapping', () => {
  test('lets nothing unmapped leave', () => {
    expect(map({ nickname: 'a', tid: 't', groups: ['g'], device: 'd', posture: {} }, {})).toEqual({
      claims: {},
      groups: [],
    });
  });

  test('takes groups, device, session and token id', () => {
    const payload = { roles: ['a', 'b', 'a'], did: 'd-1', ses: 's-1', jti: 't-1', sid: 'ignored' };
    expect(map(payload, { groups: 'roles', deviceId: 'did', sessionId: 'ses' })).toEqual({
      claims: {},
      groups: ['a', 'b'],
      deviceId: 'staff/d-1',
      sessionId: 's-1',
      tokenId: 't-1',
    });
  });

  test('takes the tenant where it is mapped, and the address of a user, in lower case', () => {
    const payload = { tid: 'Contoso', email: 'Alice@Example.COM', mail: 'other@example.com' };
    expect(map(payload, { tenant: 'tid' })).toMatchObject({
      tenantId: 'Contoso',
      email: 'alice@example.com',
    });
    expect(map(payload, { email: 'mail' })).toMatchObject({ email: 'other@example.com' });
    expect(map(payload, {})).not.toHaveProperty('tenantId');
    expect(map(payload, {}, 'device')).not.toHaveProperty('email');
    expect(map({ email: '' }, {})).not.toHaveProperty('email');
    expect(map({ email: ['a@b'] }, {})).toMatchObject({ refusal: 'token_claims_refused' });
    expect(map({ tid: 7 }, { tenant: 'tid' })).toMatchObject({ refusal: 'token_claims_refused' });
  });

  test('names the issuer of the device, which may be another than that of the user', () => {
    const mapping = { deviceId: 'did', deviceIssuer: 'mdm' };
    expect(map({ did: 'd-1' }, mapping)).toMatchObject({ deviceId: 'mdm/d-1' });
  });

  test('takes a claim name literally, dots and slashes inside of it too', () => {
    const payload = { 'https://example.com/groups': ['a'], 'a.b': ['c'], a: { b: ['wrong'] } };
    expect(map(payload, { groups: 'https://example.com/groups' })).toMatchObject({ groups: ['a'] });
    expect(map(payload, { groups: 'a.b' })).toMatchObject({ groups: ['c'] });
  });

  test('follows a JSON Pointer through objects', () => {
    const payload = { realm_access: { roles: ['a'] }, 'x/y': { '~z': ['b'] }, list: [['c']] };
    expect(map(payload, { groups: '/realm_access/roles' })).toMatchObject({ groups: ['a'] });
    expect(map(payload, { groups: '/x~1y/~0z' })).toMatchObject({ groups: ['b'] });
    expect(map(payload, { groups: '/list/0' })).toMatchObject({ groups: [] });
    expect(map(payload, { groups: '/realm_access/none/at/all' })).toMatchObject({ groups: [] });
  });

  test.each(['constructor', 'toString', '__proto__', '/constructor/name'])(
    'never reads the inherited member %s',
    (claim) => {
      expect(map({}, { deviceId: claim })).toEqual({ claims: {}, groups: [] });
    },
  );

  test('reads each type from its own JSON', () => {
    expect(attribute('string', 'text')).toBe('text');
    expect(attribute('string', '')).toBe('');
    expect(attribute('long', -7)).toBe(-7);
    expect(attribute('bool', false)).toBe(false);
    expect(attribute('string_set', ['b', 'a', 'b'])).toEqual(['b', 'a']);
    expect(attribute('string_set', 'read  write read')).toEqual(['read', 'write']);
    expect(attribute('string_set', '')).toEqual([]);
  });

  test.each([
    ['string', [7, true, ['a'], {}]],
    ['long', ['7', 1.5, 2 ** 53, true, []]],
    ['bool', ['true', 1, 0, []]],
    ['string_set', [7, { a: 1 }, ['a', 7], [['a']], true]],
  ] as const)('refuses what is not a %s', (type, values) => {
    for (const value of values)
      expect([value, attribute(type, value)]).toEqual([value, 'token_claims_refused']);
  });

  test('treats missing and null as absent, never as false', () => {
    for (const type of ['string', 'long', 'bool', 'string_set'] as const) {
      expect(attribute(type, null)).toBeUndefined();
      expect(map({}, { attributes: { x: { claim: 'x', type } } })).toEqual({ claims: {}, groups: [] });
    }
  });

  test.each(['finance readers', [7], [''], ['a', null], { a: true }, ['a\u0000'], ['x'.repeat(256)]])(
    'refuses the groups %j',
    (groups) => {
      expect(map({ groups }, { groups: 'groups' })).toEqual({
        refusal: 'token_claims_refused',
        detail: "claim 'groups' has a value of the wrong type",
      });
    },
  );

  test('keeps spaces inside of group names', () => {
    expect(map({ groups: ['Domain Users'] }, { groups: 'groups' })).toMatchObject({
      groups: ['Domain Users'],
    });
  });

  test('takes the posture out of device assertions only', () => {
    const payload = { posture: { managed: true } };
    expect(map(payload, {}, 'device')).toMatchObject({ claims: { posture: { managed: true } } });
    expect(map(payload, {}, 'user')).toMatchObject({ claims: {} });
  });
});
