import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { readCertificate } from '../../../../../src/pip/spiffe/x509/certificate.ts';
import { bits, implicitText, octets, sequence } from '../../../../support/der.ts';
import {
  type CertificateShape,
  dnsName,
  extension,
  makeCertificate,
  uriName,
} from '../../../../support/x509.ts';

function read(shape: CertificateShape) {
  return readCertificate(makeCertificate(shape).der);
}

/** A key usage extension with these bytes. */
function keyUsage(bytes: readonly number[], unused: number): CertificateShape {
  return {
    keyUsage: undefined,
    extensions: [extension('2.5.29.15', true, bits(Buffer.from(bytes), unused))],
  };
}

describe('a certificate', () => {
  test('of every root CA that Node carries can be read, and is one', () => {
    for (const pem of rootCertificates) {
      const { raw, subject } = new X509Certificate(pem);
      expect(readCertificate(raw), subject).toMatchObject({ isCa: true, keyUses: { keyCertSign: true } });
    }
  });

  test('has its URI names read one by one, whatever stands in the others', () => {
    const names = [dnsName('a, URI:spiffe://b/c'), implicitText(1, 'x@example.com'), uriName('spiffe://a/b')];
    const certificate = read({ names });
    if ('problem' in certificate) throw new Error(certificate.problem);
    expect(certificate.altNames.map((name) => name.uniformResourceIdentifier)).toEqual([
      undefined,
      undefined,
      'spiffe://a/b',
    ]);
  });

  test.each([0xa6, 0x46, 0xc6, 0x16, 0x26])('with a URI under the wrong tag %i is refused', (tag) => {
    const odd = Buffer.concat([Buffer.of(tag, 12), Buffer.from('spiffe://a/c')]);
    expect(read({ names: [uriName('spiffe://a/b'), odd] })).toHaveProperty('problem');
  });

  test('with bytes after the value of an extension is refused', () => {
    const value = Buffer.concat([bits(Buffer.of(0x80), 7), Buffer.of(5, 0)]);
    const shape = { keyUsage: undefined, extensions: [extension('2.5.29.15', true, value)] };
    expect(read(shape)).toEqual({ problem: expect.stringContaining('bytes after its end') });
  });

  test('has its key usage read from one byte or two', () => {
    expect(read(keyUsage([0x80, 0x80], 7))).toMatchObject({
      keyUses: { digitalSignature: true, keyCertSign: false, crlSign: false },
    });
    expect(read(keyUsage([0x06, 0x80], 7))).toMatchObject({
      keyUses: { digitalSignature: false, keyCertSign: true, crlSign: true },
    });
  });

  test('with a signature algorithm outside that differs from the one inside is refused', () => {
    const { der } = makeCertificate({});
    const ecdsaWithSha256 = Buffer.from('06082a8648ce3d040302', 'hex');
    const changed = Buffer.from(der);
    changed[changed.lastIndexOf(ecdsaWithSha256) + ecdsaWithSha256.length - 1] = 3;
    expect(readCertificate(changed)).toEqual({ problem: 'names two different signature algorithms' });
  });

  test('that is too long, or of an older version, is refused', () => {
    expect(readCertificate(octets(Buffer.alloc(40_000)))).toEqual({
      problem: expect.stringContaining('longer than'),
    });
    const { der } = makeCertificate({});
    const version3 = Buffer.from('a003020102', 'hex');
    const changed = Buffer.from(der);
    changed[changed.indexOf(version3) + 4] = 1;
    expect(readCertificate(changed)).toEqual({ problem: 'is not of X.509 version 3' });
  });

  test('with too many extensions or names is refused', () => {
    const extensions = Array.from({ length: 40 }, (_, index) =>
      extension(`1.2.3.${index}`, false, sequence()),
    );
    expect(read({ extensions })).toEqual({ problem: expect.stringContaining('more than 40 extensions') });
    const dns = Array.from({ length: 501 }, (_, index) => `a${index}.example`);
    expect(read({ dns })).toEqual({ problem: expect.stringContaining('more than 500 alternative names') });
  });
});
