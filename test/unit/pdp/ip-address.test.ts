import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalIp } from '../../../src/pdp/ip-address.ts';

test.each([
  ['10.1.2.3', '10.1.2.3'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['::FFFF:0A01:0203', '10.1.2.3'],
  ['0:0:0:0:0:ffff:10.1.2.3', '10.1.2.3'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
])('%s is %s', (text, canonical) => {
  expect(canonicalIp(text)).toBe(canonical);
});

test.each([
  '',
  'example.com',
  '10.1.2',
  '010.1.2.3',
  '10.1.2.3:80',
  '[::1]',
  '10.1.2.3/8',
  '/run/envoy.sock',
])('%j is no address', (text) => {
  expect(canonicalIp(text)).toBeUndefined();
});

test('is idempotent', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const once = canonicalIp(text);
      expect(once).toBeDefined();
      expect(canonicalIp(once ?? '')).toBe(once);
    }),
  );
});
