import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from '../../../../src/audit/tlog/checkpoint.ts';
import { generateSigningKey } from '../../../../src/audit/tlog/note-key.ts';
import { signNote } from '../../../../src/audit/tlog/note.ts';
import { TlogError } from '../../../../src/audit/tlog/tlog-error.ts';
import { ORIGIN } from './tlog-fixture.ts';

/** The example of C2SP tlog-checkpoint. */
const EXAMPLE = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';
const ROOT = Buffer.alloc(32, 5);
const ROOT_TEXT = ROOT.toString('base64');
const malformed = expect.objectContaining({ code: 'malformed' });

describe('the text of a checkpoint', () => {
  test('of the specification is read and written back', () => {
    const checkpoint = parseCheckpoint(EXAMPLE);
    expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20_852_163 });
    expect(checkpoint).not.toHaveProperty('time');
    expect(formatCheckpoint(checkpoint)).toBe(EXAMPLE);
  });

  test('has our time as its extension line', () => {
    const text = formatCheckpoint({ origin: ORIGIN, size: 0, root: ROOT, time: 1_767_312_000_000 });
    expect(text).toBe(`${ORIGIN}\n0\n${ROOT_TEXT}\ntime 1767312000000\n`);
    expect(parseCheckpoint(text).time).toBe(1_767_312_000_000);
  });

  test('may have extension lines of others', () => {
    expect(parseCheckpoint(`${EXAMPLE}other\ntime 7\nmore timely\n`).time).toBe(7);
  });

  test('survives reading for any size, root and time', () => {
    const checkpoint = fc.record({
      origin: fc.constant(ORIGIN),
      size: fc.maxSafeNat(),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((each) => Buffer.from(each)),
      time: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(checkpoint, (each) => {
        expect(parseCheckpoint(formatCheckpoint(each))).toEqual(each);
      }),
    );
  });

  test('is read from any text without failing in any other way than by refusing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => parseCheckpoint(text)).toThrow(TlogError);
      }),
    );
  });

  test.each([
    ['nothing', ''],
    ['two lines', `${ORIGIN}\n1\n`],
    ['no origin', `\n1\n${ROOT_TEXT}\n`],
    ['no newline at the end', `${ORIGIN}\n1\n${ROOT_TEXT}`],
    ['an empty extension line', `${ORIGIN}\n1\n${ROOT_TEXT}\n\ntime 1\n`],
    ['a leading zero', `${ORIGIN}\n01\n${ROOT_TEXT}\n`],
    ['a negative size', `${ORIGIN}\n-1\n${ROOT_TEXT}\n`],
    ['a size in another notation', `${ORIGIN}\n1e3\n${ROOT_TEXT}\n`],
    ['a size beyond 2^53', `${ORIGIN}\n9007199254740993\n${ROOT_TEXT}\n`],
    ['a root that is too short', `${ORIGIN}\n1\n${Buffer.alloc(31).toString('base64')}\n`],
    ['a root in base64url', `${ORIGIN}\n1\n${Buffer.alloc(32, 255).toString('base64url')}=\n`],
    ['a time that is none', `${ORIGIN}\n1\n${ROOT_TEXT}\ntime soon\n`],
    ['two times', `${ORIGIN}\n1\n${ROOT_TEXT}\ntime 1\ntime 2\n`],
  ])('is refused with %s', (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow(malformed);
  });

  test.each([
    ['a size that is no whole number', { origin: ORIGIN, size: 0.5, root: ROOT }],
    ['a time that is none', { origin: ORIGIN, size: 1, root: ROOT, time: Number.NaN }],
    ['a root that is too short', { origin: ORIGIN, size: 1, root: Buffer.alloc(31) }],
    ['an origin of two lines', { origin: 'a\nb', size: 1, root: ROOT }],
    ['no origin', { origin: '', size: 1, root: ROOT }],
  ])('is not written with %s', (_, checkpoint) => {
    expect(() => formatCheckpoint(checkpoint)).toThrow(RangeError);
  });
});

describe('a signed checkpoint', () => {
  const [key, next] = [generateSigningKey(ORIGIN), generateSigningKey(ORIGIN)];
  const checkpoint = { origin: ORIGIN, size: 7, root: ROOT, time: 99 };

  test('opens under each key that has signed it', () => {
    const note = signCheckpoint(checkpoint, [key, next]);
    expect(openCheckpoint(note, [next], ORIGIN)).toEqual({ ...checkpoint, signers: [next] });
    expect(openCheckpoint(Buffer.from(note), [key], ORIGIN).signers).toEqual([key]);
  });

  test('of another log is not trusted, even under our key', () => {
    const note = signCheckpoint({ ...checkpoint, origin: 'example.com/other' }, [key]);
    expect(() => openCheckpoint(note, [key], ORIGIN)).toThrow(expect.objectContaining({ code: 'untrusted' }));
  });

  test('must be a checkpoint', () => {
    const note = signNote('hello\n', [key]);
    expect(() => openCheckpoint(note, [key], ORIGIN)).toThrow(malformed);
  });
});
