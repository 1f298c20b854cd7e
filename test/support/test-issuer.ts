import { writeFile } from 'node:fs/promises';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

/** What a user token says; everything has a good default. */
export interface TokenClaims {
  readonly sub?: string;
  readonly aud?: string;
  /** How the user authenticated (RFC 8176). */
  readonly amr?: readonly string[];
  /** `null`: none. */
  readonly deviceId?: string | null;
  /** Seconds from now; negative: expired already. */
  readonly lifetimeS?: number;
}

/** An issuer of user tokens with a key made at run time. */
export interface TestIssuer {
  /** Value of `iss`. */
  readonly issuer: string;
  /** Value of `aud`, unless a token is asked for another. */
  readonly audience: string;
  /** Where its public key is. */
  readonly jwksFile: string;
  /** An access token (`at+jwt`, ES256): alice, with MFA, on laptop-1, for five minutes, unless said otherwise. */
  token(claims?: TokenClaims): Promise<string>;
}

/** Makes a key, and writes its public half to `jwksFile`. */
export async function createTestIssuer(jwksFile: string): Promise<TestIssuer> {
  const [issuer, audience] = ['https://idp.example.com', 'finance-dashboard'];
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'key-1', alg: 'ES256', use: 'sig' };
  await writeFile(jwksFile, JSON.stringify({ keys: [jwk] }));
  const token = (claims: TokenClaims = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1000);
    const expiry = now + (claims.lifetimeS ?? 300);
    const deviceId = claims.deviceId === undefined ? 'laptop-1' : claims.deviceId;
    return new SignJWT({
      amr: claims.amr ?? ['pwd', 'mfa'],
      ...(deviceId !== null && { device_id: deviceId }),
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'key-1', typ: 'at+jwt' })
      .setIssuer(issuer)
      .setAudience(claims.aud ?? audience)
      .setSubject(claims.sub ?? 'alice')
      .setIssuedAt(Math.min(now, expiry) - 60)
      .setExpirationTime(expiry)
      .sign(privateKey);
  };
  return { issuer, audience, jwksFile, token };
}
