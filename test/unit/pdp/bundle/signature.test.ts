import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  keyIdOf,
  readSigningKey,
  readVerifyingKey,
  signManifest,
  verifyManifest,
} from '../../../../src/pdp/bundle/signature.ts';
import { folderWith, newKeys } from './sample-sets.ts';

const manifest = Buffer.from('{"version":1}');
const ours = newKeys();
const theirs = newKeys();
const signature = Buffer.from(signManifest(manifest, ours.privateKey));
const pem = {
  private: ours.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  public: ours.publicKey.export({ type: 'spki', format: 'pem' }),
};

describe('manifest signature', () => {
  test('names the key by the SHA-256 of its SPKI form', () => {
    const spki = ours.publicKey.export({ type: 'spki', format: 'der' });
    const id = createHash('sha256').update(spki).digest('hex').slice(0, 16);
    expect(keyIdOf(ours.publicKey)).toBe(id);
    expect(keyIdOf(ours.privateKey)).toBe(id);
    expect(signature.toString()).toMatch(new RegExp(`^${id} \\S{88}\n$`));
  });

  test('is taken from any of the keys configured', () => {
    const publicKeys = [theirs.publicKey, ours.publicKey];
    expect(verifyManifest(manifest, signature, publicKeys)).toBe(keyIdOf(ours.publicKey));
  });

  test('is neither demanded nor believed without a key', () => {
    expect(verifyManifest(manifest, undefined, [])).toBeUndefined();
    expect(verifyManifest(manifest, signature, [])).toBeUndefined();
  });

  test('is demanded where a key is configured', () => {
    expect(() => verifyManifest(manifest, undefined, [ours.publicKey])).toThrow(
      'manifest.sig: is missing, and only signed policies are taken',
    );
  });

  test('is refused from a key that is not configured, naming both', () => {
    expect(() => verifyManifest(manifest, signature, [theirs.publicKey])).toThrow(
      `is by the key ${keyIdOf(ours.publicKey)}, which is not among the keys taken: ${keyIdOf(theirs.publicKey)}`,
    );
  });

  test('is refused under the id of a key that did not make it', () => {
    const forged = signManifest(manifest, theirs.privateKey).replace(/^\w+/, keyIdOf(ours.publicKey));
    expect(() => verifyManifest(manifest, Buffer.from(forged), [ours.publicKey])).toThrow(
      'is not a signature of this manifest',
    );
  });

  test('is refused for other bytes, down to the layout', () => {
    expect(() => verifyManifest(Buffer.from('{"version": 1}'), signature, [ours.publicKey])).toThrow(
      'is not a signature of this manifest',
    );
  });

  test('is refused when the key signed the bare bytes for another purpose', () => {
    const bare = `${keyIdOf(ours.publicKey)} ${sign(null, manifest, ours.privateKey).toString('base64')}\n`;
    expect(() => verifyManifest(manifest, Buffer.from(bare), [ours.publicKey])).toThrow(
      'is not a signature of this manifest',
    );
  });

  test('is refused when any byte of it is flipped', () => {
    for (let index = 0; index < signature.length; index += 1) {
      const changed = Buffer.from(signature);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(() => verifyManifest(manifest, changed, [ours.publicKey]), `byte ${index}`).toThrow(
        /manifest\.sig/,
      );
    }
  });

  test.each([
    '',
    'x',
    `${signature.toString()}\n`,
    signature.toString().trim(),
    signature.toString().repeat(2),
  ])('is refused in another form: %j', (text) => {
    expect(() => verifyManifest(manifest, Buffer.from(text), [ours.publicKey])).toThrow('is not of the form');
  });
});

describe('key files', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const root = folderWith({
    'private.pem': pem.private,
    'public.pem': pem.public,
    'rsa.pem': rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    'rsa.pub.pem': rsa.publicKey.export({ type: 'spki', format: 'pem' }),
    garbage: 'no key',
  });

  test('are read in PEM form', () => {
    expect(keyIdOf(readSigningKey(join(root, 'private.pem')))).toBe(keyIdOf(ours.publicKey));
    expect(keyIdOf(readVerifyingKey(join(root, 'public.pem')))).toBe(keyIdOf(ours.publicKey));
  });

  test.each(['public.pem', 'garbage', 'missing'])('refuse %s as a private key', (file) => {
    expect(() => readSigningKey(join(root, file))).toThrow('cannot be read as a private key in PEM form');
  });

  test.each(['private.pem', 'garbage', 'missing'])('refuse %s as a public key', (file) => {
    expect(() => readVerifyingKey(join(root, file))).toThrow('cannot be read as a public key in PEM form');
  });

  test('refuse keys that are not Ed25519', () => {
    expect(() => readSigningKey(join(root, 'rsa.pem'))).toThrow('holds a key of type rsa');
    expect(() => readVerifyingKey(join(root, 'rsa.pub.pem'))).toThrow('holds a key of type rsa');
  });
});
