import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { subjectKey } from '../../../../src/pdp/subject-key.ts';
import { readSubject } from '../../../../src/pip/ssf/subject-identifiers.ts';
import { ALICE, LAPTOP, TRANSMITTER, effectRules } from './fixture.ts';

const { names } = effectRules();
const OTHER = { format: 'iss_sub', iss: 'https://other.example.com', sub: 'alice' };
const TENANT = { format: 'opaque', id: 't-1' };

function read(value: object, usual: 'user' | 'device' | 'session' | 'tenant' = 'user', used = names) {
  const reading = readSubject(value as Readonly<Record<string, unknown>>, usual, used);
  return 'subject' in reading ? reading.subject : reading;
}

describe('a simple subject', () => {
  test.each([
    ['iss_sub', 'user', ALICE, { kind: 'user', id: 'idp/alice' }],
    ['iss_sub of a device', 'device', LAPTOP, { kind: 'device', id: 'idp/laptop-1' }],
    ['opaque', 'session', { format: 'opaque', id: 'sid-1' }, { kind: 'session', id: 'idp/sid-1' }],
    ['opaque of a tenant', 'tenant', TENANT, { kind: 'tenant', id: 'idp/t-1' }],
    [
      'email',
      'user',
      { format: 'email', email: 'Alice@Example.com' },
      { kind: 'email', id: 'idp/alice@example.com' },
    ],
    [
      'account',
      'user',
      { format: 'account', uri: 'acct:alice@example.com' },
      { kind: 'email', id: 'idp/alice@example.com' },
    ],
    ['jwt_id', 'user', { format: 'jwt_id', iss: TRANSMITTER, jti: 't1' }, { kind: 'token', id: 'idp/t1' }],
    [
      'uri',
      'user',
      { format: 'uri', uri: 'https://example.com/u/1' },
      { kind: 'user', id: 'idp/https://example.com/u/1' },
    ],
    [
      'uri of a workload',
      'user',
      { format: 'uri', uri: 'spiffe://td/ns/a/sa/b' },
      { kind: 'workload', id: 'spiffe://td/ns/a/sa/b' },
    ],
  ] as const)('of the format %s is one of our subjects', (_what, usual, value, ref) => {
    expect(read(value, usual)).toEqual({ alternatives: [[ref]], ignored: [] });
  });

  test('is a workload only where the stream may name workloads, whatever its issuers', () => {
    const { names: bounded } = effectRules({ workloads: false });
    for (const uri of ['spiffe://td/ns/a/sa/b', 'SPIFFE://td/ns/a/sa/b'])
      expect(read({ format: 'uri', uri }, 'user', bounded)).toHaveProperty('discard');
    expect(read({ format: 'uri', uri: 'spiffe://td/../b' })).toHaveProperty('malformed');
  });

  test('that has several names may be each of them', () => {
    const identifiers = [
      ALICE,
      { format: 'email', email: 'alice@example.com' },
      ALICE,
      { format: 'did', url: 'did:x:1' },
    ];
    expect(read({ format: 'aliases', identifiers })).toEqual({
      alternatives: [[{ kind: 'user', id: 'idp/alice' }], [{ kind: 'email', id: 'idp/alice@example.com' }]],
      ignored: [],
    });
  });

  test.each([
    ['of another issuer', OTHER],
    ['with a telephone number', { format: 'phone_number', phone_number: '+12065550100' }],
    ['with a decentralised identifier', { format: 'did', url: 'did:example:123' }],
    ['with an assertion of SAML', { format: 'saml_assertion_id', issuer: 'x', assertion_id: 'y' }],
    ['of a format that is not known', { format: 'catalog_item', catalog_id: 'x' }],
  ])('%s is nobody of ours', (_what, value) => {
    expect(read(value)).toHaveProperty('discard');
  });

  test.each([
    ['no format', { iss: TRANSMITTER, sub: 'alice' }],
    ['a format that is a number', { format: 1 }],
    ['iss_sub without sub', { format: 'iss_sub', iss: TRANSMITTER }],
    ['a sub that is a number', { ...ALICE, sub: 1 }],
    ['an empty sub', { ...ALICE, sub: '' }],
    ['a sub with a line feed', { ...ALICE, sub: 'a\nb' }],
    ['a sub that is too long', { ...ALICE, sub: 'é'.repeat(128) }],
    ['an address without a host', { format: 'email', email: 'alice' }],
    ['an account that is no acct URI', { format: 'account', uri: 'mailto:alice@example.com' }],
    ['aliases without identifiers', { format: 'aliases' }],
    ['no alias', { format: 'aliases', identifiers: [] }],
    ['aliases in aliases', { format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [ALICE] }] }],
    ['a complex alias', { format: 'aliases', identifiers: [{ format: 'complex', user: ALICE }] }],
    ['an alias that is text', { format: 'aliases', identifiers: ['alice'] }],
    ['too many aliases', { format: 'aliases', identifiers: Array.from({ length: 17 }, () => ALICE) }],
  ])('with %s is none', (_what, value) => {
    expect(read(value)).toHaveProperty('malformed');
  });
});

describe('a complex subject', () => {
  test('is all of its members together; what is not there stands for anything', () => {
    expect(read({ format: 'complex', user: ALICE, device: LAPTOP, tenant: TENANT })).toEqual({
      alternatives: [
        [
          { kind: 'user', id: 'idp/alice' },
          { kind: 'device', id: 'idp/laptop-1' },
          { kind: 'tenant', id: 'idp/t-1' },
        ],
      ],
      ignored: [],
    });
    expect(read({ format: 'complex', tenant: TENANT })).toEqual({
      alternatives: [[{ kind: 'tenant', id: 'idp/t-1' }]],
      ignored: [],
    });
  });

  test.each([
    ['an opaque id', { format: 'opaque', id: 's-1' }, { kind: 'session', id: 'idp/s-1' }],
    ['iss_sub', { format: 'iss_sub', iss: TRANSMITTER, sub: 's-1' }, { kind: 'session', id: 'idp/s-1' }],
    [
      'the id of a token',
      { format: 'jwt_id', iss: TRANSMITTER, jti: 'j-1' },
      { kind: 'token', id: 'idp/j-1' },
    ],
  ])('names its session by %s', (_what, session, ref) => {
    expect(read({ format: 'complex', session })).toEqual({ alternatives: [[ref]], ignored: [] });
  });

  test('is known by the members that are understood, and says which are not', () => {
    const value = {
      format: 'complex',
      user: ALICE,
      application: TENANT,
      device: { format: 'did', url: 'did:x' },
    };
    expect(read(value)).toEqual({
      alternatives: [[{ kind: 'user', id: 'idp/alice' }]],
      ignored: ['application', 'device'],
    });
  });

  test('with a critical member that is not understood is nobody', () => {
    const { names: strict } = effectRules({ critical: ['application', 'user'] });
    const both = { format: 'complex', user: ALICE, application: TENANT };
    expect(read(both, 'user', strict)).toEqual({ discard: expect.stringContaining('critical') });
    expect(read({ format: 'complex', user: ALICE }, 'user', strict)).toHaveProperty('alternatives');
  });

  test.each([
    ['nothing that is understood', { format: 'complex', group: TENANT }, 'discard'],
    ['no member', { format: 'complex' }, 'discard'],
    ['a user that is text', { format: 'complex', user: 'alice' }, 'malformed'],
    ['a complex user', { format: 'complex', user: { format: 'complex', user: ALICE } }, 'malformed'],
  ])('with %s has no effect', (_what, value, outcome) => {
    expect(read(value)).toHaveProperty(outcome);
  });

  test('whose members have several names each is bounded', () => {
    const many = (format: string) => ({
      format: 'aliases',
      identifiers: Array.from({ length: 8 }, (_, index) => ({ format, id: `x${index}` })),
    });
    expect(read({ format: 'complex', user: many('opaque'), device: many('opaque') })).toHaveProperty(
      'malformed',
    );
  });
});

describe('names', () => {
  const device = {
    name: 'mdm',
    issuer: 'https://mdm.example.com',
    use: 'device' as const,
    audiences: ['pdp'],
    algorithms: ['ES256'],
    types: ['jwt'],
  };
  const user = { ...device, name: 'web', issuer: TRANSMITTER, use: 'user' as const };

  test('of several of our issuers with one iss may be of each', () => {
    const { names: both } = effectRules({
      issuers: [user, { ...user, name: 'app', header: 'x-app-token' }],
    });
    expect(read(ALICE, 'user', both)).toMatchObject({
      alternatives: [[{ id: 'web/alice' }], [{ id: 'app/alice' }]],
    });
  });

  test('of devices are those of the issuer of devices, also where a mapping of user tokens says so', () => {
    const { names: own } = effectRules({ issuers: [device] });
    expect(read({ ...LAPTOP, iss: device.issuer }, 'device', own)).toMatchObject({
      alternatives: [[{ kind: 'device', id: 'mdm/laptop-1' }]],
    });
    const claims = { deviceId: 'device_id', deviceIssuer: 'mdm' };
    const { names: mapped } = effectRules({ issuers: [{ ...user, claims }] });
    expect(read(LAPTOP, 'device', mapped)).toMatchObject({ alternatives: [[{ id: 'mdm/laptop-1' }]] });
    const { names: none } = effectRules({ issuers: [user] });
    expect(read(LAPTOP, 'device', none)).toHaveProperty('discard');
  });

  test('are those that are configured, and no others', () => {
    const { names: chosen } = effectRules({ byIss: new Map([['https://mdm.example.com', 'mdm']]) });
    expect(read(ALICE, 'user', chosen)).toHaveProperty('discard');
    expect(read(TENANT, 'tenant', chosen)).toHaveProperty('discard');
    expect(read({ ...LAPTOP, iss: 'https://mdm.example.com' }, 'device', chosen)).toMatchObject({
      alternatives: [[{ kind: 'device', id: 'mdm/laptop-1' }]],
    });
  });

  test('are those that are configured where there are others', () => {
    const { names: chosen } = effectRules({
      byIss: new Map([[TRANSMITTER, 'partner']]),
      defaults: { tenant: 'tenants' },
    });
    expect(read(ALICE, 'user', chosen)).toMatchObject({ alternatives: [[{ id: 'partner/alice' }]] });
    expect(read(TENANT, 'tenant', chosen)).toMatchObject({ alternatives: [[{ id: 'tenants/t-1' }]] });
  });
});

const identifier: fc.Arbitrary<object> = fc.oneof(
  fc.record({
    format: fc.constantFrom('iss_sub', 'opaque', 'email', 'account', 'uri', 'jwt_id', 'did', 'x'),
    iss: fc.constantFrom(TRANSMITTER, 'https://other.example.com'),
    sub: fc.string({ unit: 'binary' }),
    id: fc.string(),
    jti: fc.string(),
    email: fc.oneof(fc.emailAddress(), fc.string()),
    uri: fc.oneof(
      fc.webUrl(),
      fc.emailAddress().map((address) => `acct:${address}`),
      fc.string(),
    ),
  }),
  fc.object(),
);
const anySubject: fc.Arbitrary<object> = fc.oneof(
  identifier,
  fc.record({ format: fc.constant('aliases'), identifiers: fc.array(identifier, { maxLength: 5 }) }),
  fc
    .dictionary(fc.constantFrom('user', 'device', 'session', 'tenant', 'group', 'x'), identifier)
    .map((members) => ({
      ...members,
      format: 'complex',
    })),
);

describe('any subject at all', () => {
  test('is read without a fault to bounded names of our issuers, all of them different, or to nobody', () => {
    fc.assert(
      fc.property(anySubject, fc.constantFrom('user', 'device', 'session', 'tenant'), (value, usual) => {
        const reading = read(value, usual);
        if (!('alternatives' in reading)) return;
        const keys = reading.alternatives.map((refs) => refs.map(subjectKey).join('&'));
        expect(new Set(keys).size).toBe(keys.length);
        expect(keys.length).toBeGreaterThan(0);
        expect(keys.length).toBeLessThanOrEqual(32);
        for (const { kind, id } of reading.alternatives.flat()) {
          expect(Buffer.byteLength(id)).toBeLessThanOrEqual(64 + 255);
          // oxlint-disable-next-line no-control-regex -- controls are what must not be there
          expect(id).toMatch(kind === 'workload' ? /^spiffe:/ : /^idp\/[^\u0000-\u001f\u007f]+$/);
        }
      }),
    );
  });

  test('of one party has one name: who is named twice is named once', () => {
    fc.assert(
      fc.property(fc.emailAddress(), (address) => {
        const upper = read({ format: 'email', email: address.toUpperCase() });
        expect(upper).toEqual(read({ format: 'email', email: address.toLowerCase() }));
      }),
    );
  });
});
