import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  generateSigningKey,
  isKeyName,
  keyIdText,
  parseVerifierKey,
  signingKeyFromPem,
  signingKeyPem,
  verifierKeyText,
} from '../../../../src/audit/tlog/note-key.ts';
import { MAX_NOTE_BYTES, openNote, signNote } from '../../../../src/audit/tlog/note.ts';
import { TlogError } from '../../../../src/audit/tlog/tlog-error.ts';
import { flipped, ORIGIN } from './tlog-fixture.ts';

/** The example of Go's golang.org/x/mod/sumdb/note: its key, its text, its two notes. */
const NEUMANN_SEED = '810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173';
const NEUMANN_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const NEUMANN_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const NEUMANN_LINE =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const ENOCH_LINE =
  '— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n';
const NOTE = `${NEUMANN_TEXT}\n${NEUMANN_LINE}`;

const neumann = parseVerifierKey(NEUMANN_VKEY);

function neumannSigner() {
  const der = Buffer.from(`302e020100300506032b657004220420${NEUMANN_SEED}`, 'hex');
  const pem = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return signingKeyFromPem('PeterNeumann', pem);
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return error instanceof TlogError ? error.code : String(error);
  }
  return 'accepted';
}

describe('the published example of a signed note', () => {
  test('has the vkey that its private key gives', () => {
    expect(verifierKeyText(neumannSigner())).toBe(NEUMANN_VKEY);
  });

  test('is what its key signs, byte for byte', () => {
    expect(signNote(NEUMANN_TEXT, [neumannSigner()])).toBe(NOTE);
  });

  test('opens under its key, with and without the signature of somebody unknown', () => {
    expect(openNote(NOTE, [neumann])).toEqual({ text: NEUMANN_TEXT, signers: [neumann] });
    expect(openNote(Buffer.from(NOTE + ENOCH_LINE), [neumann]).signers).toEqual([neumann]);
    expect(openNote(`${NEUMANN_TEXT}\n${ENOCH_LINE}${NEUMANN_LINE}`, [neumann]).signers).toEqual([neumann]);
  });

  test('does not open when any one of its bytes is another', () => {
    const bytes = Buffer.from(NOTE);
    for (let at = 0; at < bytes.length; at++) {
      expect(codeOf(() => openNote(flipped(bytes, at), [neumann]))).toMatch(/^(malformed|untrusted)$/);
    }
  });
});

describe('opening a note', () => {
  const key = generateSigningKey(ORIGIN);
  const next = generateSigningKey(ORIGIN);
  const note = signNote('a text\n\nwith a blank line\n', [key, next]);

  test('names every trusted key that has signed it', () => {
    expect(openNote(note, [key]).signers).toEqual([key]);
    expect(openNote(note, [next, key]).signers).toEqual([next, key]);
    expect(openNote(note, [key]).text).toBe('a text\n\nwith a blank line\n');
  });

  test('is refused without a signature of a trusted key, and under no key', () => {
    expect(codeOf(() => openNote(note, [generateSigningKey(ORIGIN)]))).toBe('untrusted');
    expect(codeOf(() => openNote(note, []))).toBe('untrusted');
  });

  test('is refused where one of two trusted signatures is wrong', () => {
    const other = signNote('another text\n', [next]);
    const mixed = `${signNote('a text\n', [key])}${other.slice(other.indexOf('—'))}`;
    expect(codeOf(() => openNote(mixed, [key, next]))).toBe('untrusted');
    expect(openNote(mixed, [key]).signers).toEqual([key]);
  });

  test('is refused for a key of the same name and ID with another signature after the right one', () => {
    const line = `— ${key.name} ${Buffer.concat([Buffer.from(keyIdText(key.id), 'hex'), Buffer.alloc(64)]).toString('base64')}\n`;
    expect(codeOf(() => openNote(note + line, [key]))).toBe('untrusted');
    const short = `— ${key.name} ${Buffer.from(`${keyIdText(key.id)}00`, 'hex').toString('base64')}\n`;
    expect(codeOf(() => openNote(note + short, [key]))).toBe('untrusted');
  });

  test.each([
    ['nothing', ''],
    ['no blank line', `text\n${NEUMANN_LINE}`],
    ['no signature', 'text\n\n'],
    ['an end without a newline', NOTE.slice(0, -1)],
    ['a carriage return', NOTE.replace('\n', '\r\n')],
    ['a tab', `a\ttext\n\n${NEUMANN_LINE}`],
    ['another dash', NOTE.replace('—', '-')],
    ['no name', NOTE.replace('— PeterNeumann', '—')],
    ['a plus in a name', NOTE + ENOCH_LINE.replace('EnochRoot', 'Enoch+Root')],
    ['an ideographic space in a name', NOTE + ENOCH_LINE.replace('EnochRoot', 'Enoch\u3000Root')],
    ['a third word', NOTE + ENOCH_LINE.replace('\n', ' x\n')],
    ['base64 without padding', NOTE + ENOCH_LINE.replace('=\n', '\n')],
    ['base64 of no canonical form', NOTE + ENOCH_LINE.replace('QQ=\n', 'QR=\n')],
    ['a signature of four bytes', `${NOTE}— EnochRoot rwz+eA==\n`],
    ['a lone surrogate', NOTE.replace('answer', '\ud800')],
    ['101 signatures', NOTE + ENOCH_LINE.repeat(100)],
    ['a million characters', 'x'.repeat(MAX_NOTE_BYTES) + NOTE],
  ])('is refused with %s', (_, text) => {
    expect(codeOf(() => openNote(text, [neumann]))).toBe('malformed');
  });

  test('is refused where it is not UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from(NOTE.slice(0, 10)),
      Buffer.of(0xff),
      Buffer.from(NOTE.slice(10)),
    ]);
    expect(codeOf(() => openNote(bytes, [neumann]))).toBe('malformed');
  });

  test('accepts the sixteen signatures that the specification asks for, and more', () => {
    expect(openNote(NOTE + ENOCH_LINE.repeat(99), [neumann]).signers).toEqual([neumann]);
  });

  test('gives back any text that could be signed', () => {
    const text = fc.string({ unit: 'binary' }).map((each) => `${each.replace(/\p{Cc}|\p{Cs}/gu, '\n')}\n`);
    fc.assert(
      fc.property(text, (each) => {
        expect(openNote(signNote(each, [key]), [key]).text).toBe(each);
      }),
    );
  });

  test('never fails in any other way than by refusing', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.string().map((each) => Buffer.from(`${each}\n\n— ${each}\n`)),
    );
    fc.assert(
      fc.property(bytes, (each) => {
        expect(codeOf(() => openNote(each, [neumann]))).toMatch(/^(malformed|untrusted)$/);
      }),
    );
  });
});

describe('signing a note', () => {
  const key = generateSigningKey(ORIGIN);

  test.each([['no newline at the end'], ['a\ttab\n'], ['a\rreturn\n'], ['\ud800\n'], ['']])(
    'is refused for the text %j',
    (text) => {
      expect(() => signNote(text, [key])).toThrow(RangeError);
    },
  );

  test('is refused without a key', () => {
    expect(() => signNote('text\n', [])).toThrow(RangeError);
  });
});

describe('a key', () => {
  test('survives its vkey text, with or without a newline, and its PEM', () => {
    const key = generateSigningKey(ORIGIN);
    const note = signNote('text\n', [signingKeyFromPem(ORIGIN, signingKeyPem(key))]);
    for (const end of ['', '\n']) {
      const known = parseVerifierKey(verifierKeyText(key) + end);
      expect(known).toMatchObject({ name: ORIGIN, id: key.id });
      expect(openNote(note, [known]).text).toBe('text\n');
    }
  });

  test.each(['', 'two words', 'a+b', 'a\u00a0b', 'a\u0085b', 'a\nb', 'a\u0000b', '\ud800'])(
    'cannot be called %j',
    (name) => {
      expect(isKeyName(name)).toBe(false);
      expect(codeOf(() => generateSigningKey(name))).toBe('malformed');
    },
  );

  test.each([
    ['nothing', ''],
    ['two newlines', `${NEUMANN_VKEY}\n\n`],
    ['another key ID', NEUMANN_VKEY.replace('c74f20a3', 'c74f20a4')],
    ['a key ID in capitals', NEUMANN_VKEY.replace('c74f20a3', 'C74F20A3')],
    ['a short key ID', NEUMANN_VKEY.replace('c74f20a3', 'c74f20a')],
    ['another name', NEUMANN_VKEY.replace('Peter', 'Petra')],
    ['a space in the name', NEUMANN_VKEY.replace('Peter', 'Peter ')],
    ['another algorithm', NEUMANN_VKEY.replace('+ARpc', '+AhpC')],
    ['a key that is too short', NEUMANN_VKEY.replace('y10TW', 'y')],
    ['a private key', 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'],
  ])('is not read from a vkey with %s', (_, text) => {
    expect(codeOf(() => parseVerifierKey(text))).toBe('malformed');
  });

  test('of another kind is refused, and what the file holds is not repeated', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const pem = rsa.export({ type: 'pkcs8', format: 'pem' });
    expect(() => signingKeyFromPem(ORIGIN, pem)).toThrow('the private key is not Ed25519');
    const x25519 = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(() => signingKeyFromPem(ORIGIN, x25519)).toThrow('the private key is not Ed25519');
    const broken = '-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n';
    expect(() => signingKeyFromPem(ORIGIN, broken)).toThrow('not a private key in PEM form');
    const [publicKey] = [generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })];
    expect(codeOf(() => signingKeyFromPem(ORIGIN, publicKey))).toBe('malformed');
  });

  test('is read from any text without failing in any other way than by refusing', () => {
    const encoded = fc
      .uint8Array({ minLength: 31, maxLength: 33 })
      .map((each) => Buffer.of(0x01, ...each).toString('base64'));
    const vkey = fc.oneof(
      fc.string(),
      encoded.map((each) => `name+00000000+${each}`),
    );
    fc.assert(
      fc.property(vkey, (each) => {
        expect(codeOf(() => parseVerifierKey(each))).toBe('malformed');
      }),
    );
  });
});
