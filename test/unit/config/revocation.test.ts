import { expect, test } from 'vitest';
import { ConfigSchema } from '../../../src/config.ts';

const PLAIN = { grpc: { plaintext: true }, policies: { sets: ['p'] } };
const SPIFFE = {
  source: 'files',
  cert_file: '/c',
  key_file: '/k',
  bundles: [{ trust_domain: 'td', file: '/b' }],
};
const issuer = (times: object) => ({
  name: 'idp',
  issuer: 'https://idp',
  audiences: ['a'],
  algorithms: ['ES256'],
  jwks: { file: '/j' },
  ...times,
});

function problemsOf(revocation: object, others: object = {}): string[] {
  const read = ConfigSchema.safeParse({ ...PLAIN, revocation, ...others });
  return read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

test('there are defaults, by which nobody may revoke', () => {
  const { revocation } = ConfigSchema.parse(PLAIN);
  expect(revocation).toEqual({
    max_lag_ms: 5000,
    deny_after_ms: 60_000,
    on_lost: 'deny',
    keep_s: 2_592_000,
    events_max_age_s: 2_592_000,
    admins: [],
  });
});

test.each<[string, object, object, RegExp]>([
  [
    'an epoch that is forgotten before the last token that it voids',
    { keep_s: 3629 },
    { issuers: [issuer({ max_age_s: 3600, skew_s: 30 })] },
    /keep_s: must not be less than the 3630 s .*'idp'/,
  ],
  [
    'a denial before the caches are left alone',
    { deny_after_ms: 4999 },
    {},
    /deny_after_ms: must not be less/,
  ],
  [
    'administrators whom nothing proves',
    { admins: ['spiffe://td/*'] },
    {},
    /admins: has no effect while ops is plaintext/,
  ],
  ['no pattern', { admins: ['web'] }, {}, /admins\.0/],
  [
    'a token over mutual TLS',
    { admin_token_file: '/t' },
    { spiffe: SPIFFE, ops: { plaintext: false } },
    /admin_token_file: has no effect while ops is over mutual TLS/,
  ],
  [
    'a token that anybody could read',
    { admin_token_file: '/t' },
    { ops: { address: '0.0.0.0:8282', plaintext: true } },
    /admin_token_file: is for loopback addresses only/,
  ],
])('%s is refused', (_what, revocation, others, words) => {
  expect(problemsOf(revocation, others).join('\n')).toMatch(words);
});

test.each(['admin', 'file'])('no event stream may pass for %s', (name) => {
  const stream = {
    name,
    issuer: 'https://t',
    audiences: ['a'],
    jwks: { file: '/j' },
    delivery: { kind: 'push' },
  };
  expect(problemsOf({}, { event_streams: [stream] }).join('\n')).toContain(
    `event_streams.0.name: '${name}' is taken already`,
  );
});

test('what goes together is taken', () => {
  expect(problemsOf({ keep_s: 3630 }, { issuers: [issuer({ max_age_s: 3600, skew_s: 30 })] })).toEqual([]);
  expect(problemsOf({ keep_s: 60 }, { issuers: [issuer({})] })).toEqual([]);
  expect(problemsOf({ admin_token_file: '/t' })).toEqual([]);
  const mutual = { spiffe: SPIFFE, ops: { plaintext: false } };
  expect(problemsOf({ admins: ['spiffe://td/ops'], on_lost: 'last_known' }, mutual)).toEqual([]);
});
