import { type CryptoKey, type JWK, type JWTPayload, SignJWT, exportJWK, generateKeyPair } from 'jose';

/** An issuer of real tokens, with a key of its own. */
export interface TestIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithm: string;
  readonly keyId: string;
  /** The public key set. */
  readonly jwks: { readonly keys: readonly JWK[] };
  readonly publicKey: CryptoKey;
  /**
   * Signs a token. Unless `claims` say otherwise it has our issuer and audience, is issued now and lives for 300 s; a claim that is
   * `undefined` is left out. `header` adds to `alg`, `kid` and `typ`.
   */
  sign(
    claims?: Readonly<Record<string, unknown>>,
    header?: Readonly<Record<string, unknown>>,
  ): Promise<string>;
  /** Signs bytes as they are, for payloads that no honest library would write. */
  signRaw(payload: string, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

/** Settings of {@link createTestIssuer}. */
export interface TestIssuerOptions {
  readonly issuer: string;
  readonly audience: string;
  /** Default ES256. */
  readonly alg?: string;
  /** Default `key-1`. */
  readonly kid?: string;
  /** Default `at+jwt`. */
  readonly typ?: string;
  /** Unix ms; default the system's clock. */
  readonly now?: () => number;
}

/** Makes an issuer with a new key pair. */
export async function createTestIssuer(options: TestIssuerOptions): Promise<TestIssuer> {
  const { issuer, audience, alg = 'ES256', kid = 'key-1', typ = 'at+jwt', now = Date.now } = options;
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const headerOf = (header: object = {}) =>
    JSON.parse(JSON.stringify({ alg, kid, typ, ...header })) as { alg: string };
  return {
    issuer,
    audience,
    algorithm: alg,
    keyId: kid,
    jwks: { keys: [{ ...jwk, kid, alg, use: 'sig' }] },
    publicKey,
    sign(claims = {}, header) {
      const iat = Math.floor(now() / 1000);
      const payload = { iss: issuer, aud: audience, sub: 'alice', iat, exp: iat + 300, ...claims };
      const present = JSON.parse(JSON.stringify(payload)) as JWTPayload;
      return new SignJWT(present).setProtectedHeader(headerOf(header)).sign(privateKey);
    },
    async signRaw(payload, header) {
      const encode = (text: string): string => Buffer.from(text).toString('base64url');
      const input = `${encode(JSON.stringify(headerOf(header)))}.${encode(payload)}`;
      const signature = await crypto.subtle.sign(signAlgorithm(alg), privateKey, Buffer.from(input));
      return `${input}.${Buffer.from(signature).toString('base64url')}`;
    },
  };
}

function signAlgorithm(alg: string): { name: string; hash?: string; saltLength?: number } {
  const hash = `SHA-${alg.slice(2)}`;
  if (alg.startsWith('ES')) return { name: 'ECDSA', hash };
  if (alg.startsWith('RS')) return { name: 'RSASSA-PKCS1-v1_5' };
  if (alg.startsWith('PS')) return { name: 'RSA-PSS', saltLength: Number(alg.slice(2)) / 8 };
  return { name: 'Ed25519' };
}
