import { describe, expect, test } from 'vitest';
import { signCheckpoint } from '../../../../src/audit/tlog/checkpoint.ts';
import {
  openEpochCertificate,
  openSealedCheckpoint,
  signEpochCertificate,
  type EpochCertificate,
} from '../../../../src/audit/tlog/epoch.ts';
import {
  generateSigningKey,
  parseVerifierKey,
  verifierKeyText,
} from '../../../../src/audit/tlog/note-key.ts';
import { openNote, signNote } from '../../../../src/audit/tlog/note.ts';
import { ORIGIN } from './tlog-fixture.ts';

const START = Date.UTC(2026, 0, 2);
const DAY = 86_400_000;
const identity = generateSigningKey(ORIGIN);
const known = parseVerifierKey(verifierKeyText(identity));
const keys = [generateSigningKey(ORIGIN), generateSigningKey(ORIGIN)] as const;

function certificateOf(number: 0 | 1, changes: Partial<EpochCertificate> = {}): EpochCertificate {
  const notBefore = START + number * DAY;
  return { origin: ORIGIN, number, key: keys[number], notBefore, notAfter: notBefore + DAY, ...changes };
}

const untrusted = expect.objectContaining({ code: 'untrusted' });
const malformed = expect.objectContaining({ code: 'malformed' });

describe('an epoch certificate', () => {
  test('has the text that the format fixes', () => {
    const { text } = openNote(signEpochCertificate(certificateOf(1), identity), [known]);
    expect(text.split('\n')).toEqual([
      'cedar-pdp epoch key v1',
      ORIGIN,
      '1',
      verifierKeyText(keys[1]),
      '2026-01-03T00:00:00.000Z',
      '2026-01-04T00:00:00.000Z',
      '',
    ]);
  });

  test('opens under the identity key', () => {
    const opened = openEpochCertificate(signEpochCertificate(certificateOf(0), identity), known);
    expect(opened).toMatchObject({ origin: ORIGIN, number: 0, notBefore: START, notAfter: START + DAY });
    expect(verifierKeyText(opened.key)).toBe(verifierKeyText(keys[0]));
  });

  test('does not open under another key, nor that of another log', () => {
    const note = signEpochCertificate(certificateOf(0), identity);
    expect(() => openEpochCertificate(note, generateSigningKey(ORIGIN))).toThrow(untrusted);
    expect(() => openEpochCertificate(note, generateSigningKey('example.com/other'))).toThrow(untrusted);
  });

  const lines = [
    'cedar-pdp epoch key v1',
    ORIGIN,
    '1',
    verifierKeyText(keys[1]),
    '2026-01-03T00:00:00.000Z',
    '2026-01-04T00:00:00.000Z',
  ];
  const signed = (changed: readonly string[]): string => signNote(`${changed.join('\n')}\n`, [identity]);

  test.each([
    ['another header', lines.with(0, 'cedar-pdp epoch key v2')],
    ['a number with a leading zero', lines.with(2, '01')],
    ['no number', lines.with(2, '')],
    ['a vkey that is none', lines.with(3, 'x')],
    ['a date without a time', lines.with(4, '2026-01-03')],
    ['a time in another zone', lines.with(4, '2026-01-03T00:00:00.000+00:00')],
    ['no end', lines.slice(0, 5)],
    ['a line too many', [...lines, 'x']],
    ['an end before its beginning', lines.with(5, '2026-01-02T00:00:00.000Z')],
  ])('is refused with %s, although the identity key has signed it', (_, changed) => {
    expect(() => openEpochCertificate(signed(changed), known)).toThrow(malformed);
  });

  test('for another log is refused, although the identity key has signed it', () => {
    const other = verifierKeyText(generateSigningKey('example.com/other'));
    for (const changed of [lines.with(1, 'example.com/other'), lines.with(3, other)]) {
      expect(() => openEpochCertificate(signed(changed), known)).toThrow(untrusted);
    }
  });

  test('is not made for a key of another name, without a number, or for no time', () => {
    const other = generateSigningKey('example.com/other');
    for (const changes of [
      { key: other },
      { origin: 'example.com/other', key: other },
      { number: -1 },
      { notAfter: START },
      { notBefore: Number.NaN },
    ]) {
      expect(() => signEpochCertificate(certificateOf(0, changes), identity)).toThrow(RangeError);
    }
  });
});

describe('a sealed checkpoint', () => {
  const certificates = ([0, 1] as const).map((number) =>
    openEpochCertificate(signEpochCertificate(certificateOf(number), identity), known),
  );
  const [first, second] = certificates;
  const sealed = (time: number, ...signers: (0 | 1)[]): string =>
    signCheckpoint(
      { origin: ORIGIN, size: 3, root: Buffer.alloc(32), time },
      signers.map((each) => keys[each]),
    );
  const open = (note: string) => openSealedCheckpoint(note, certificates, ORIGIN);

  test('names the epoch whose key has signed it', () => {
    const opened = open(sealed(START + 5, 0));
    expect(opened).toMatchObject({ origin: ORIGIN, size: 3, time: START + 5 });
    expect(opened.epochs).toEqual([first]);
  });

  test('counts at the first and at the last moment of its epoch, and not outside', () => {
    expect(open(sealed(START, 0)).epochs).toEqual([first]);
    expect(open(sealed(START + 2 * DAY, 1)).epochs).toEqual([second]);
    expect(() => open(sealed(START - 1, 0))).toThrow(untrusted);
    expect(() => open(sealed(START + 2 * DAY + 1, 1))).toThrow(untrusted);
  });

  test('that both keys signed counts under the one whose time it is', () => {
    expect(open(sealed(START + DAY + 1, 0, 1)).epochs).toEqual([second]);
    expect(open(sealed(START + DAY, 0, 1)).epochs).toEqual([first, second]);
  });

  test('does not count under the identity key, nor under a key without a certificate', () => {
    const checkpoint = { origin: ORIGIN, size: 3, root: Buffer.alloc(32), time: START };
    expect(() => open(signCheckpoint(checkpoint, [identity]))).toThrow(untrusted);
    expect(() => open(signCheckpoint(checkpoint, [generateSigningKey(ORIGIN)]))).toThrow(untrusted);
    expect(() => openSealedCheckpoint(sealed(START, 0), [], ORIGIN)).toThrow(untrusted);
  });

  test('of another log does not count', () => {
    expect(() => openSealedCheckpoint(sealed(START, 0), certificates, 'example.com/other')).toThrow(
      untrusted,
    );
  });

  test('must say when it was made', () => {
    const note = signCheckpoint({ origin: ORIGIN, size: 3, root: Buffer.alloc(32) }, [keys[0]]);
    expect(() => open(note)).toThrow(malformed);
  });
});
