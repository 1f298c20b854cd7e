import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readPosture } from '../../../../src/pip/device/posture.ts';

const FULL = {
  managed: true,
  compliant: false,
  os: { family: 'linux', version: '6.1', patched: true },
  disk_encrypted: true,
  screen_lock: true,
  firewall: false,
  risk: 'low',
  observed_at: 1_795_000_000,
  vendor: { crowdstrike: { zta_score: 87, sensor_version: '7.1', healthy: false } },
};

describe('device posture', () => {
  test('reads the whole neutral schema', () => {
    expect(readPosture(FULL)).toEqual({ posture: FULL });
  });

  test('keeps missing members missing', () => {
    expect(readPosture({})).toEqual({ posture: {} });
    expect(readPosture({ managed: null, os: null, vendor: null })).toEqual({ posture: {} });
    expect(readPosture({ vendor: { jamf: { a: null } } })).toEqual({ posture: { vendor: { jamf: {} } } });
    expect(readPosture({ os: {} })).toEqual({ posture: { os: {} } });
  });

  test('drops what is outside of the schema', () => {
    expect(readPosture({ managed: true, Managed: false, jamf: { x: 1 }, os: { name: 'x' } })).toEqual({
      posture: { managed: true, os: {} },
    });
  });

  test.each<[string, unknown]>([
    ...['managed', 'compliant', 'disk_encrypted', 'screen_lock', 'firewall'].flatMap(
      (name): [string, unknown][] => [
        [name, 'true'],
        [name, 1],
        [name, 'compliant'],
      ],
    ),
    ['risk', 'LOW'],
    ['risk', 'none'],
    ['risk', 1],
    ['risk', ['low']],
    ['observed_at', '2026-01-01T00:00:00Z'],
    ['observed_at', 1.5],
    ['observed_at', -1],
    ['os', 'linux'],
    ['os', ['linux']],
    ['os', { family: 7 }],
    ['os', { version: 14 }],
    ['os', { patched: 'yes' }],
    ['os', { version: 'x'.repeat(256) }],
    ['vendor', 'jamf'],
    ['vendor', ['jamf']],
    ['vendor', { jamf: 1 }],
    ['vendor', { jamf: null }],
    ['vendor', { 'ja.mf': {} }],
    ['vendor', JSON.parse('{"__proto__": {}}')],
    ['vendor', { __entity: {} }],
    ['vendor', { jamf: { a: 1.5 } }],
    ['vendor', { jamf: { a: 2 ** 53 } }],
    ['vendor', { jamf: { a: ['x'] } }],
    ['vendor', { jamf: { a: { type: 'User', id: 'x' } } }],
    ['vendor', { jamf: { a: 'x'.repeat(256) } }],
    ['vendor', { jamf: { 'a b': true } }],
    ['vendor', { jamf: JSON.parse('{"__proto__": true}') }],
    ['vendor', { jamf: { __extn: 'x' } }],
    ['vendor', Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`v${n}`, {}]))],
    ['vendor', { jamf: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`f${n}`, n])) }],
  ])('refuses %s = %j and names the member', (name, value) => {
    expect(readPosture({ ...FULL, [name]: value })).toEqual({
      problem: expect.stringContaining(`posture.${name}`) as string,
    });
  });

  test.each([null, 'managed', 7, true, [FULL]])('refuses %j in place of an object', (value) => {
    expect(readPosture(value)).toEqual({ problem: 'posture is not an object' });
  });

  test('never throws and never invents a member', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const reading = readPosture(value);
        if (!('posture' in reading)) return;
        for (const name of Object.keys(reading.posture)) expect(value).toHaveProperty([name]);
      }),
    );
  });
});
