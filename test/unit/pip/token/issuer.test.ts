import { describe, expect, test } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { type IssuerOptions, createIssuer } from '../../../../src/pip/token/issuer.ts';

const GOOD: IssuerOptions = {
  name: 'staff',
  issuer: 'https://id.example.com',
  use: 'user',
  audiences: ['https://api.example.com'],
  algorithms: ['ES256'],
  types: ['at+jwt'],
};

describe('issuer options', () => {
  test('gain their defaults', () => {
    expect(createIssuer(GOOD)).toEqual({
      ...GOOD,
      header: 'authorization',
      registeredIn: 'payload',
      skewSeconds: 30,
      maxAgeSeconds: Number.POSITIVE_INFINITY,
      requiredClaims: [],
      forbiddenClaims: ['nonce', 'at_hash', 'c_hash'],
      claimValues: {},
      binding: 'none',
      requireLowS: false,
      claims: { sessionId: 'sid', email: 'email', clientId: 'client_id', attributes: {} },
    });
  });

  test('of the profile of RFC 9068 leave its one type, and require its claims', () => {
    const types = ['JWT', 'application/at+jwt', ''];
    expect(createIssuer({ ...GOOD, types, profile: 'rfc9068', requiredClaims: ['scope'] })).toMatchObject({
      types: ['at+jwt'],
      requiredClaims: ['scope', 'client_id', 'iat', 'jti'],
    });
  });

  test.each<[string, Partial<IssuerOptions>]>([
    ['name', { name: '' }],
    ['name', { name: 'a/b' }],
    ['name', { name: '.a' }],
    ['name', { name: 'x'.repeat(64) }],
    ['issuer', { issuer: '' }],
    ['audiences', { audiences: [] }],
    ['audiences', { audiences: [''] }],
    ['algorithms', { algorithms: [] }],
    ['algorithms', { algorithms: ['none'] }],
    ['algorithms', { algorithms: ['ES256', 'HS256'] }],
    ['types', { types: [] }],
    ['types', { types: ['JWT'], profile: 'rfc9068' }],
    ['header', { header: 'X-Upper' }],
    ['header', { header: '' }],
    ['header', { use: 'device', header: 'x-device' }],
    ['binding', { use: 'device', binding: 'any' }],
    ['registeredIn', { registeredIn: 'header' }],
    ['maxAgeSeconds', { maxAgeSeconds: 0 }],
    ['claimValues.typ', { claimValues: { typ: [] } }],
    ['claims.clientId', { claims: { clientId: '' } }],
    ['claims.attributes.bound', { claims: { attributes: { bound: { claim: 'x', type: 'bool' } } } }],
    ['claims.attributes.actor', { claims: { attributes: { actor: { claim: 'x', type: 'string' } } } }],
    ['skewSeconds', { skewSeconds: 61 }],
    ['skewSeconds', { skewSeconds: -1 }],
    ['skewSeconds', { skewSeconds: Number.NaN }],
    ['claims.groups', { claims: { groups: '' } }],
    ['claims.deviceId', { claims: { deviceId: '/a~2b' } }],
    ['claims.attributes.x', { claims: { attributes: { x: { claim: '', type: 'string' } } } }],
    ['claims.attributes.a-b', { claims: { attributes: { 'a-b': { claim: 'x', type: 'string' } } } }],
    ['claims.attributes.__entity', { claims: { attributes: { __entity: { claim: 'x', type: 'string' } } } }],
  ])('are refused with the key at fault: %s', (key, change) => {
    expect(() => createIssuer({ ...GOOD, ...change })).toThrow(new RegExp(`: ${key}: `));
  });

  test('are refused with every problem at once', () => {
    const bad = {
      ...GOOD,
      name: '',
      audiences: [],
      algorithms: ['none', 'HS512'],
      types: [],
      skewSeconds: 90,
    };
    try {
      createIssuer(bad);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).problems).toHaveLength(6);
    }
  });
});
