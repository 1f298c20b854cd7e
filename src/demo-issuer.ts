import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JWK, SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import type { Config } from './config.ts';
import { DEMO_ATTRIBUTES, DEMO_ISSUER } from './config/rules.ts';
import { InputError } from './pdp/errors.ts';

type IssuerConfig = Config['issuers'][number];

const AUDIENCE = 'cedar-pdp-demo';
const ISSUER = 'https://demo.cedar-pdp.invalid';
const TOKEN_LIFETIME_S = 3600;

interface DemoFiles {
  readonly privateKey: string;
  readonly jwks: string;
}

function demoFiles(config: Config): DemoFiles {
  const folder = join(config.audit.dir, '..', 'demo');
  return { privateKey: join(folder, 'private-key.json'), jwks: join(folder, 'jwks.json') };
}

/**
 * Makes the demo issuer's key where there is none yet, and returns the issuer as it would be configured. The key is made on this
 * machine and never leaves it; it is trusted by processes in demo mode only, which listen on loopback only.
 */
export async function ensureDemoIssuer(config: Config): Promise<IssuerConfig> {
  const files = demoFiles(config);
  mkdirSync(join(files.jwks, '..'), { recursive: true, mode: 0o700 });
  if (!exists(files.jwks) || !exists(files.privateKey)) {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const kid = `demo-${Date.now().toString(36)}`;
    writeFileSync(files.privateKey, JSON.stringify({ ...(await exportJWK(privateKey)), kid }), {
      mode: 0o600,
    });
    writeFileSync(
      files.jwks,
      JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] }),
    );
  }
  return {
    name: DEMO_ISSUER,
    issuer: ISSUER,
    use: 'user',
    audiences: [AUDIENCE],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    require_low_s: false,
    skew_s: 0,
    jwks: { file: files.jwks },
    refresh_ms: 60_000,
    stale_ceiling_ms: 3_600_000,
    claims: {
      groups: 'groups',
      device_id: 'device_id',
      session_id: 'sid',
      attributes: DEMO_ATTRIBUTES,
    },
  };
}

/** What a demo token should say. */
export interface DemoTokenOptions {
  readonly user: string;
  readonly mfa: boolean;
  readonly device?: string;
  readonly scope?: string;
  /** Seconds; negative for one that has expired. */
  readonly lifetimeS?: number;
}

/** Mints a token of the demo issuer. Throws `InputError` outside of demo mode, or before a demo server made its key. */
export async function mintDemoToken(config: Config, options: DemoTokenOptions): Promise<string> {
  if (!config.demo) {
    throw new InputError('no demo token:', [
      { where: 'demo', message: 'demo tokens are minted in demo mode only (`demo: true`)' },
    ]);
  }
  const { privateKey } = demoFiles(config);
  if (!exists(privateKey)) {
    throw new InputError('no demo token:', [
      { where: privateKey, message: 'there is no demo key yet; start the server first (npm start)' },
    ]);
  }
  const jwk = JSON.parse(readFileSync(privateKey, 'utf8')) as JWK & { kid: string };
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    amr: options.mfa ? ['pwd', 'mfa'] : ['pwd'],
    ...(options.device !== undefined && { device_id: options.device }),
    ...(options.scope !== undefined && { scope: options.scope }),
  };
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(options.user)
    .setIssuedAt(now)
    .setExpirationTime(now + (options.lifetimeS ?? TOKEN_LIFETIME_S))
    .sign(await importJWK(jwk, 'ES256'));
}

function exists(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}
