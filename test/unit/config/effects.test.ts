import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const PLAINTEXT = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
const CALLER = 'spiffe://prod.example.com/ns/clinic/sa/app';
const MUTUAL = {
  spiffe: {
    source: 'files',
    cert_file: 'c.pem',
    key_file: 'k.pem',
    bundles: [{ trust_domain: 'prod.example.com', file: 'b.pem' }],
  },
  policies: { sets: ['p'] },
};
const STAFF = {
  name: 'staff',
  issuer: 'https://idp.example.com',
  audiences: ['pdp'],
  algorithms: ['ES256'],
  jwks: { file: 'jwks.json' },
};
const MDM = { ...STAFF, name: 'mdm', use: 'device' };
const ORDERS = {
  name: 'orders',
  kind: 'static_file',
  subject: 'order',
  gives: ['state'],
  file: 'orders.json',
};
const ONWARD = { issuer: 'https://pdp.example.com' };
const DEPARTMENT = { attributes: { department: { claim: 'dept', type: 'string' } } };
const ORIGINS = { dpop: { origins: { 'api.example.com': 'https://api.example.com' } } };

function problems(config: object): string[] {
  const { error } = ConfigSchema.safeParse(config);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('a setting that would do nothing is refused:', () => {
  test.each<[string, object, string]>([
    [
      'named callers in plaintext',
      { ...PLAINTEXT, check: { callers: [{ allow: [CALLER] }] } },
      'check.callers.0.allow: has no effect while grpc is plaintext',
    ],
    [
      'named readers of explanations in plaintext',
      { ...PLAINTEXT, check: { explain: { allow: [CALLER] } } },
      'check.explain.allow: has no effect while grpc is plaintext',
    ],
    [
      'callers without a name over mutual TLS',
      { ...MUTUAL, check: { plaintext_callers: {} } },
      'check.plaintext_callers: has no effect while grpc is over mutual TLS',
    ],
    [
      'explanations for anybody over mutual TLS',
      { ...MUTUAL, check: { explain: { plaintext: true } } },
      'check.explain.plaintext: has no effect while grpc is over mutual TLS',
    ],
    [
      'named callers where the HTTP surface is plaintext too',
      { ...PLAINTEXT, authzen: {}, check: { callers: [{ allow: [CALLER] }] } },
      'check.callers.0.allow: has no effect while grpc and http are plaintext',
    ],
    [
      'callers without a name where HTTP is over mutual TLS too',
      { ...MUTUAL, http: { plaintext: false }, authzen: {}, check: { plaintext_callers: {} } },
      'check.plaintext_callers: has no effect while grpc and http are over mutual TLS',
    ],
    [
      'applications of an issuer that is not there',
      { ...PLAINTEXT, check: { callers: [{ applications: ['apps/clinic'] }] } },
      "check.callers.0.applications.0: has no effect: there is no issuer 'apps' with `use: application`",
    ],
    [
      'applications of an issuer of users',
      { ...PLAINTEXT, issuers: [STAFF], check: { explain: { applications: ['staff/alice'] } } },
      "check.explain.applications.0: has no effect: there is no issuer 'staff' with `use: application`",
    ],
    [
      'the age of postures of an issuer that is not there',
      { ...PLAINTEXT, devices: { max_posture_age_s_by_issuer: { mdm: 60 } } },
      "devices.max_posture_age_s_by_issuer.mdm: has no effect: there is no issuer 'mdm' with `use: device`",
    ],
    [
      'the age of postures of an issuer of users',
      { ...PLAINTEXT, issuers: [STAFF], devices: { max_posture_age_s_by_issuer: { staff: 60 } } },
      "devices.max_posture_age_s_by_issuer.staff: has no effect: there is no issuer 'staff' with `use: device`",
    ],
    [
      'an information point that is not there',
      { ...PLAINTEXT, pips: [ORDERS], check: { pips: { 'Shop::Order': ['order', 'oder'] } } },
      "check.pips.Shop::Order.1: no information point has the subject 'oder': see pips[].subject",
    ],
    [
      'a binding to proofs that cannot be checked',
      { ...PLAINTEXT, issuers: [{ ...STAFF, binding: 'dpop' }] },
      'issuers.0.binding: needs tokens.dpop.origins',
    ],
    [
      'a claim that no issuer maps',
      { ...PLAINTEXT, issuers: [STAFF], onward_identity: { ...ONWARD, user_claims: ['department'] } },
      "onward_identity.user_claims.0: 'department' is mapped by no issuer of users",
    ],
    [
      'a claim that only an issuer of devices maps',
      {
        ...PLAINTEXT,
        issuers: [{ ...MDM, claims: DEPARTMENT }],
        onward_identity: { ...ONWARD, user_claims: ['department'] },
      },
      "onward_identity.user_claims.0: 'department' is mapped by no issuer of users",
    ],
    [
      'a rotation of keys that are not made here',
      { ...PLAINTEXT, onward_identity: { ...ONWARD, keys: { dir: 'keys', rotate_s: 86_400 } } },
      'onward_identity.keys.rotate_s: has no effect with `dir`',
    ],
  ])('%s', (_what, config, problem) => {
    expect(problems(config)).toEqual([expect.stringContaining(problem)]);
  });
});

describe('a setting that does something is taken:', () => {
  test.each<[string, object]>([
    [
      'named callers over mutual TLS',
      { ...MUTUAL, check: { callers: [{ allow: [CALLER] }], explain: { allow: [CALLER] } } },
    ],
    [
      'callers without a name in plaintext',
      { ...PLAINTEXT, check: { plaintext_callers: {}, explain: { plaintext: true } } },
    ],
    [
      'callers by token in plaintext',
      {
        ...PLAINTEXT,
        issuers: [{ ...STAFF, name: 'apps', use: 'application' }],
        check: { callers: [{ applications: ['apps/clinic'] }], explain: { applications: ['apps/ops'] } },
      },
    ],
    [
      'callers without a name on a plaintext HTTP surface',
      { ...MUTUAL, authzen: {}, check: { plaintext_callers: {}, callers: [{ allow: [CALLER] }] } },
    ],
    [
      'the age of postures of an issuer of devices',
      { ...PLAINTEXT, issuers: [MDM], devices: { max_posture_age_s_by_issuer: { mdm: 60 } } },
    ],
    [
      'an information point that is there',
      { ...PLAINTEXT, pips: [ORDERS], check: { pips: { 'Shop::Order': ['order'] } } },
    ],
    [
      'a binding to proofs that are checked',
      { ...PLAINTEXT, tokens: ORIGINS, issuers: [{ ...STAFF, binding: 'dpop' }] },
    ],
    ['a binding to either', { ...PLAINTEXT, issuers: [{ ...STAFF, binding: 'any' }] }],
    [
      'claims that an issuer, a preset and demo mode map',
      {
        ...PLAINTEXT,
        demo: true,
        issuers: [
          { ...STAFF, claims: DEPARTMENT },
          { preset: 'google-iap', name: 'iap', audiences: ['pdp'] },
        ],
        onward_identity: { ...ONWARD, user_claims: ['department', 'email', 'amr'] },
      },
    ],
    ['keys from a folder', { ...PLAINTEXT, onward_identity: { ...ONWARD, keys: { dir: 'keys' } } }],
  ])('%s', (_what, config) => {
    expect(problems(config)).toEqual([]);
  });
});

/** Every place in a value, as the keys that lead there. */
function places(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, item]) => places(item, [...at, key]))];
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy: unknown = structuredClone(value);
  const inner = copy as Record<string, unknown>;
  inner[key] = replaced(inner[key], rest, by);
  return copy;
}

test('whatever stands in the place of a setting is judged, and breaks nothing', () => {
  const whole = {
    ...MUTUAL,
    grpc: { allow: [CALLER] },
    check: { callers: [{ allow: [CALLER] }], pips: { 'Shop::Order': ['order'] } },
    issuers: [STAFF, MDM, { preset: 'google-iap', name: 'iap', audiences: ['pdp'], claims: DEPARTMENT }],
    tokens: ORIGINS,
    devices: { assertion_header: 'x-device', max_posture_age_s_by_issuer: { mdm: 60 } },
    workloads: { xfcc: { from: [CALLER] }, jwt_svid: { audiences: ['pdp'] }, kubernetes_token: {} },
    onward_identity: { ...ONWARD, user_claims: ['department'], keys: {} },
    pips: [ORDERS],
  };
  expect(problems(whole)).toEqual([]);
  const unlike = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('__proto__', 'constructor', undefined),
  );
  fc.assert(
    fc.property(fc.constantFrom(...places(whole)), unlike, (place, by) => {
      ConfigSchema.safeParse(replaced(whole, place, by));
    }),
    { numRuns: 2000 },
  );
});
