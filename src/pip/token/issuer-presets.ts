import type { BindingRule, ClaimMapping } from './issuer.ts';

/** What is known of the tokens of one product. `{name}` in a template stands for a variable of the configuration. */
export interface IssuerPreset {
  /** Template of `iss`. */
  readonly issuer: string;
  /** Template of the URL of its keys. `{kid}` stands for the id of a key, where each has a URL of its own. */
  readonly keys: string;
  /** What the keys' URL leads to. */
  readonly keyFormat: 'jwks' | 'pem';
  readonly header: string;
  readonly algorithms: readonly string[];
  readonly types: readonly string[];
  readonly registeredIn?: 'header';
  readonly requiredClaims?: readonly string[];
  readonly forbiddenClaims: readonly string[];
  readonly claimValues?: Readonly<Record<string, readonly string[]>>;
  readonly binding?: BindingRule;
  readonly claims: ClaimMapping;
}

const BEARER = 'authorization';
/** With ID tokens of the same issuer about, which are of the same type. */
const ACCESS_TOKENS = { header: BEARER, forbiddenClaims: ['nonce', 'at_hash', 'c_hash'] };
const EMAIL = { email: { claim: 'email', type: 'string' } } as const;
const SCOPE = { scope: { claim: 'scope', type: 'string_set' } } as const;
const METHODS = {
  amr: { claim: 'amr', type: 'string_set' },
  acr: { claim: 'acr', type: 'string' },
} as const;

/** The presets by name. Where each fact comes from, and which could not be confirmed, is in docs/tokens.md. */
export const ISSUER_PRESETS = {
  pomerium: {
    issuer: '{domain}',
    keys: 'https://{domain}/.well-known/pomerium/jwks.json',
    keyFormat: 'jwks',
    header: 'x-pomerium-jwt-assertion',
    algorithms: ['ES256'],
    types: ['JWT', ''],
    forbiddenClaims: [],
    claims: { groups: 'groups', attributes: EMAIL },
  },
  'google-iap': {
    issuer: 'https://cloud.google.com/iap',
    keys: 'https://www.gstatic.com/iap/verify/public_key-jwk',
    keyFormat: 'jwks',
    header: 'x-goog-iap-jwt-assertion',
    algorithms: ['ES256'],
    types: ['JWT', ''],
    forbiddenClaims: [],
    claims: {
      attributes: {
        ...EMAIL,
        hd: { claim: 'hd', type: 'string' },
        access_levels: { claim: '/google/access_levels', type: 'string_set' },
      },
    },
  },
  'cloudflare-access': {
    issuer: 'https://{team}.cloudflareaccess.com',
    keys: 'https://{team}.cloudflareaccess.com/cdn-cgi/access/certs',
    keyFormat: 'jwks',
    header: 'cf-access-jwt-assertion',
    algorithms: ['RS256'],
    types: ['JWT', ''],
    forbiddenClaims: [],
    // The token of the team's own domain is signed with the same key.
    claimValues: { type: ['app'] },
    claims: {
      groups: '/custom/groups',
      attributes: { ...EMAIL, country: { claim: 'country', type: 'string' } },
    },
  },
  'aws-verified-access': {
    issuer: '{issuer}',
    keys: 'https://public-keys.prod.verified-access.{region}.amazonaws.com/{kid}',
    keyFormat: 'pem',
    header: 'x-amzn-ava-user-context',
    algorithms: ['ES384'],
    types: ['JWT', ''],
    registeredIn: 'header',
    forbiddenClaims: [],
    claims: { groups: 'groups', attributes: EMAIL },
  },
  teleport: {
    issuer: '{cluster}',
    keys: 'https://{proxy}/.well-known/jwks.json',
    keyFormat: 'jwks',
    header: 'teleport-jwt-assertion',
    algorithms: ['RS256', 'ES256'],
    types: ['JWT', ''],
    forbiddenClaims: [],
    claims: { groups: 'roles', attributes: { username: { claim: 'username', type: 'string' } } },
  },
  keycloak: {
    ...ACCESS_TOKENS,
    issuer: '{url}/realms/{realm}',
    keys: '{url}/realms/{realm}/protocol/openid-connect/certs',
    keyFormat: 'jwks',
    algorithms: ['RS256', 'PS256', 'ES256'],
    types: ['JWT', 'at+jwt'],
    // ID tokens, refresh tokens and logout tokens say something else here.
    claimValues: { typ: ['Bearer', 'DPoP'] },
    claims: {
      groups: 'groups',
      clientId: 'azp',
      attributes: {
        ...EMAIL,
        ...SCOPE,
        acr: METHODS.acr,
        roles: { claim: '/realm_access/roles', type: 'string_set' },
      },
    },
  },
  okta: {
    ...ACCESS_TOKENS,
    issuer: 'https://{domain}/oauth2/{server}',
    keys: 'https://{domain}/oauth2/{server}/v1/keys',
    keyFormat: 'jwks',
    algorithms: ['RS256'],
    types: ['', 'JWT', 'at+jwt'],
    requiredClaims: ['cid'],
    claims: {
      groups: 'groups',
      clientId: 'cid',
      attributes: { scope: { claim: 'scp', type: 'string_set' } },
    },
  },
  entra: {
    ...ACCESS_TOKENS,
    issuer: 'https://login.microsoftonline.com/{tenant}/v2.0',
    keys: 'https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys',
    keyFormat: 'jwks',
    algorithms: ['RS256'],
    types: ['JWT'],
    requiredClaims: ['azp'],
    claimValues: { ver: ['2.0'] },
    claims: {
      groups: 'groups',
      clientId: 'azp',
      attributes: {
        scope: { claim: 'scp', type: 'string_set' },
        roles: { claim: 'roles', type: 'string_set' },
        object_id: { claim: 'oid', type: 'string' },
        acrs: { claim: 'acrs', type: 'string_set' },
      },
    },
  },
  google: {
    issuer: 'https://accounts.google.com',
    keys: 'https://www.googleapis.com/oauth2/v3/certs',
    keyFormat: 'jwks',
    // Google's access tokens are opaque: its ID tokens are all there is to verify.
    header: BEARER,
    algorithms: ['RS256'],
    types: ['JWT'],
    forbiddenClaims: [],
    claims: { clientId: 'azp', attributes: { ...EMAIL, hd: { claim: 'hd', type: 'string' } } },
  },
} as const satisfies Record<string, IssuerPreset>;

/** Name of a preset. */
export type PresetName = keyof typeof ISSUER_PRESETS;

/** The variables that a preset needs, where the issuer or its keys are not given anyway. */
export function presetVariables(
  name: PresetName,
  given: { readonly issuer?: string | undefined; readonly jwks?: object | undefined },
): readonly string[] {
  const preset: IssuerPreset = ISSUER_PRESETS[name];
  const templates = [
    given.issuer === undefined ? preset.issuer : '',
    given.jwks === undefined ? preset.keys : '',
  ];
  const names = [...templates.join(' ').matchAll(/\{([a-z]+)\}/g)].map(([, found = '']) => found);
  return [...new Set(names)].filter((found) => found !== KEY_ID);
}

/** The place for a key's id in a template. */
const KEY_ID = 'kid';

/** Puts the variables into a template; what is not among them stays. */
export function fillTemplate(template: string, variables: Readonly<Record<string, string>>): string {
  return template.replace(/\{([a-z]+)\}/g, (whole, name: string) =>
    Object.hasOwn(variables, name) ? (variables[name] ?? whole) : whole,
  );
}
