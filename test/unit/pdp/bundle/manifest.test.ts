import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  assertFilesMatch,
  contentDigest,
  parseManifest,
  writeManifest,
} from '../../../../src/pdp/bundle/manifest.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import { NOW } from './sample-sets.ts';

const HASH = 'a'.repeat(64);
const files = new Map([
  ['set/b.cedar', Buffer.from('b')],
  ['set/a.cedar', Buffer.from('a')],
]);
const valid = { version: 1, revision: 7, created: '2026-01-01T00:00:00Z', files: { 'set/a.cedar': HASH } };
const parse = (value: unknown) =>
  parseManifest(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

describe('manifest', () => {
  test('reads what it wrote', () => {
    const manifest = parseManifest(writeManifest(files, 7, NOW));
    expect(manifest).toMatchObject({ revision: 7, created: '2026-01-01T00:00:00.000Z' });
    expect([...manifest.files.keys()]).toEqual(['set/a.cedar', 'set/b.cedar']);
    expect(() => assertFilesMatch(manifest, files)).not.toThrow();
  });

  test('is the same whatever the order of the files', () => {
    expect(writeManifest(new Map([...files].reverse()), 7, NOW)).toEqual(writeManifest(files, 7, NOW));
  });

  test.each([0, -1, 1.5, 2 ** 53, Number.NaN])('is not written for the revision %d', (revision) => {
    expect(() => writeManifest(files, revision, NOW)).toThrow(TypeError);
  });

  test('names its content whatever the revision and the time', () => {
    const digest = (revision: number, now: number) =>
      contentDigest(parseManifest(writeManifest(files, revision, now)));
    expect(digest(1, NOW)).toBe(digest(2, NOW + 1));
    expect(contentDigest(parse(valid))).not.toBe(digest(1, NOW));
  });

  test.each<[string, unknown, string]>([
    ['no JSON', '<html>', 'is not a JSON object'],
    ['an array', [], 'is not a JSON object'],
    ['null', null, 'is not a JSON object'],
    ['another version', { ...valid, version: 2 }, "has no 'version' of 1"],
    ['an unknown key', { ...valid, extra: 1 }, "unknown key 'extra'"],
    ['no revision', { ...valid, revision: undefined }, "has no 'revision'"],
    ['revision 0', { ...valid, revision: 0 }, "has no 'revision'"],
    ['a revision in quotes', { ...valid, revision: '7' }, "has no 'revision'"],
    ['a revision beyond 2^53', { ...valid, revision: 2 ** 53 }, "has no 'revision'"],
    ['no time', { ...valid, created: undefined }, "has no 'created'"],
    ['a time with an offset', { ...valid, created: '2026-01-01T00:00:00+01:00' }, "has no 'created'"],
    ['a time that is none', { ...valid, created: '2026-13-01T00:00:00Z' }, "has no 'created'"],
    ['files as an array', { ...valid, files: [] }, "has no object 'files'"],
    ['a hash in capitals', { ...valid, files: { 'set/a.cedar': 'A'.repeat(64) } }, 'has no SHA-256 in hex'],
    ['a short hash', { ...valid, files: { 'set/a.cedar': 'aa' } }, 'has no SHA-256 in hex'],
    ['an absolute path', { ...valid, files: { '/etc/a.cedar': HASH } }, '/etc/a.cedar: has an absolute path'],
    ['a path upwards', { ...valid, files: { '../a.cedar': HASH } }, "../a.cedar: has a path with '.', '..'"],
    ['a key twice', '{"version":1,"version":1}', 'has a key twice'],
    ['an escape', '{"version":1,"revision":1,"created":"\\u0032"}', 'not in its plain form'],
    ['a number in another form', '{"version":1.0}', 'not in its plain form'],
  ])('refuses %s', (_, value, message) => {
    expect(() => parse(value)).toThrow(message);
  });

  test('refuses one that is too large before it is parsed', () => {
    expect(() => parse(`{${' '.repeat(1024 * 1024)}`)).toThrow('is larger than 1048576 bytes');
  });

  test('takes a manifest that was laid out by hand', () => {
    expect(parse(JSON.stringify(valid, null, 4).replaceAll('\n', '\r\n'))).toMatchObject({ revision: 7 });
  });

  test('names every file that differs, is missing or does not belong', () => {
    const manifest = parseManifest(writeManifest(files, 7, NOW));
    const found = new Map([
      ['set/a.cedar', Buffer.from('A')],
      ['set/c.cedar', Buffer.from('c')],
    ]);
    expect(() => assertFilesMatch(manifest, found)).toThrow(
      [
        'the policy bundle is refused:',
        '  set/a.cedar: is not what manifest.json says (another SHA-256)',
        '  set/c.cedar: is not in manifest.json',
        '  set/b.cedar: is in manifest.json but missing',
      ].join('\n'),
    );
  });

  test('throws nothing but InputError, whatever it parses', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        expect(() => parse(text)).toThrow(InputError);
      }),
    );
  });
});
