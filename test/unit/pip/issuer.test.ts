import { describe, expect, test } from 'vitest';
import { InputError } from '../../../src/pdp/errors.ts';
import { type IssuerOptions, createIssuer } from '../../../src/pip/issuer.ts';

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
      skewSeconds: 30,
      claims: { sessionId: 'sid', attributes: {} },
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
