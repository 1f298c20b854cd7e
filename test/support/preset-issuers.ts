import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ISSUER_PRESETS, type PresetName } from '../../src/pip/token/issuer-presets.ts';
import { type TestIssuer, createTestIssuer } from './tokens.ts';

/** A product's tokens, as its own documentation shows them (docs/tokens.md). */
interface Assertion {
  readonly variables?: Readonly<Record<string, string>>;
  readonly iss: string;
  readonly aud: string;
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly header: Readonly<Record<string, unknown>>;
  /** What becomes of it. */
  readonly expected: Readonly<Record<string, unknown>>;
}

const AVA = 'arn:aws:ec2:us-east-1:123456789012:verified-access-instance/vai-abc123xzy321a2b3c';

/** One token for each preset: whoever it is may read the wiki of `policies/identity-aware-proxy`, where the token says the group. */
export const ASSERTIONS: Readonly<Record<PresetName, Assertion>> = {
  pomerium: {
    variables: { domain: 'wiki.example.com' },
    iss: 'wiki.example.com',
    aud: 'wiki.example.com',
    subject: 'alice',
    claims: { email: 'alice@example.com', groups: ['engineering@example.com'], jti: 'p-1' },
    header: { typ: 'JWT' },
    expected: { groups: ['engineering@example.com'], claims: { email: 'alice@example.com' } },
  },
  'google-iap': {
    iss: 'https://cloud.google.com/iap',
    aud: '/projects/1234567890/global/backendServices/42',
    subject: 'accounts.google.com:1234',
    claims: {
      email: 'alice@example.com',
      hd: 'example.com',
      google: { access_levels: ['accessPolicies/1/accessLevels/corp'] },
    },
    header: { typ: 'JWT' },
    expected: {
      claims: {
        email: 'alice@example.com',
        hd: 'example.com',
        access_levels: ['accessPolicies/1/accessLevels/corp'],
      },
    },
  },
  'cloudflare-access': {
    variables: { team: 'example' },
    iss: 'https://example.cloudflareaccess.com',
    aud: '32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228',
    subject: '7335d417-61da-459d-899c-0a01c76a2f94',
    claims: {
      email: 'alice@example.com',
      type: 'app',
      identity_nonce: '6ei69kawdKzMIAPF',
      country: 'US',
      custom: { groups: ['engineering'] },
    },
    header: { typ: 'JWT' },
    expected: { groups: ['engineering'], claims: { email: 'alice@example.com', country: 'US' } },
  },
  'aws-verified-access': {
    variables: { issuer: 'https://idp.example.com' },
    iss: 'https://idp.example.com',
    aud: AVA,
    subject: 'alice',
    claims: {
      email: 'alice@example.com',
      groups: ['engineering'],
      iss: undefined,
      aud: undefined,
      exp: undefined,
      iat: undefined,
    },
    header: { typ: undefined, signer: AVA, iss: 'https://idp.example.com' },
    expected: { groups: ['engineering'], audiences: [AVA], claims: { email: 'alice@example.com' } },
  },
  teleport: {
    variables: { cluster: 'teleport.example.com' },
    iss: 'teleport.example.com',
    aud: 'http://127.0.0.1:34679',
    subject: 'alice',
    claims: { username: 'alice', roles: ['engineer'], traits: { logins: ['root'] } },
    header: { typ: 'JWT' },
    expected: { groups: ['engineer'], claims: { username: 'alice' } },
  },
  keycloak: {
    variables: { url: 'https://id.example.com', realm: 'staff' },
    iss: 'https://id.example.com/realms/staff',
    aud: 'wiki',
    subject: 'alice',
    claims: {
      typ: 'Bearer',
      azp: 'wiki-app',
      sid: 's-1',
      acr: '1',
      scope: 'openid email',
      email: 'alice@example.com',
      groups: ['/engineering'],
      realm_access: { roles: ['reader'] },
    },
    header: { typ: 'JWT' },
    expected: {
      groups: ['/engineering'],
      clientId: 'wiki-app',
      sessionId: 's-1',
      claims: { email: 'alice@example.com', scope: ['openid', 'email'], acr: '1', roles: ['reader'] },
    },
  },
  okta: {
    variables: { domain: 'example.okta.com', server: 'default' },
    iss: 'https://example.okta.com/oauth2/default',
    aud: 'api://default',
    subject: 'alice@example.com',
    claims: { ver: 1, jti: 'AT.1', cid: 'client-1', uid: '00u1', scp: ['openid'], groups: ['Engineering'] },
    header: { typ: undefined },
    expected: {
      groups: ['Engineering'],
      clientId: 'client-1',
      tokenId: 'AT.1',
      claims: { scope: ['openid'] },
    },
  },
  entra: {
    variables: { tenant: '11111111-2222-3333-4444-555555555555' },
    iss: 'https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0',
    aud: '6e74172b-be56-4843-9ff4-e66a39bb12e3',
    subject: 'pairwise-alice',
    claims: {
      ver: '2.0',
      azp: 'client-1',
      oid: 'object-1',
      scp: 'wiki.read wiki.write',
      groups: ['7b1f2a90-3c55-4b0e-9d4a-0f6f5f0c1d22'],
    },
    header: { typ: 'JWT' },
    expected: {
      groups: ['7b1f2a90-3c55-4b0e-9d4a-0f6f5f0c1d22'],
      clientId: 'client-1',
      claims: { scope: ['wiki.read', 'wiki.write'], object_id: 'object-1' },
    },
  },
  google: {
    iss: 'https://accounts.google.com',
    aud: '1234.apps.googleusercontent.com',
    subject: '110169484474386276334',
    claims: {
      azp: '1234.apps.googleusercontent.com',
      email: 'alice@example.com',
      hd: 'example.com',
      at_hash: 'x',
    },
    header: { typ: 'JWT' },
    expected: {
      clientId: '1234.apps.googleusercontent.com',
      claims: { email: 'alice@example.com', hd: 'example.com' },
    },
  },
};

/** The presets, in the order of the code. */
export const PRESET_NAMES = Object.keys(ISSUER_PRESETS) as PresetName[];

/** A test issuer in the place of a product. */
export interface PresetIssuer {
  /** Its entry under `issuers`. */
  readonly config: object;
  /** A token of the product's own form, alice's unless changed. */
  sign(claims?: object, header?: object): Promise<string>;
  /** The header that the product sends a token in. */
  credential(token: string): readonly [name: string, value: string];
}

/** Makes an issuer for every preset, whose public keys are files in `folder`, each by the name of its preset. */
export async function createPresetIssuers(
  folder: string,
  prefix = '',
): Promise<ReadonlyMap<PresetName, PresetIssuer>> {
  const entries = PRESET_NAMES.map(async (name): Promise<[PresetName, PresetIssuer]> => [
    name,
    await createPresetIssuer(name, join(folder, `${prefix}${name}.json`)),
  ]);
  return new Map(await Promise.all(entries));
}

async function createPresetIssuer(preset: PresetName, file: string): Promise<PresetIssuer> {
  const { variables, iss, aud, subject: sub, claims, header } = ASSERTIONS[preset];
  const { algorithms, header: name } = ISSUER_PRESETS[preset];
  const issuer: TestIssuer = await createTestIssuer({ issuer: iss, audience: aud, alg: algorithms[0] });
  await writeFile(file, JSON.stringify(issuer.jwks));
  const expiry = 'signer' in header ? { exp: Math.floor(Date.now() / 1000) + 120 } : {};
  return {
    config: { preset, name: preset, audiences: [aud], jwks: { file }, ...(variables && { variables }) },
    sign: (more = {}, headerMore = {}) =>
      issuer.sign({ sub, ...claims, ...more }, { ...header, ...expiry, ...headerMore }),
    credential: (token) => [name, name === 'authorization' ? `Bearer ${token}` : token],
  };
}
