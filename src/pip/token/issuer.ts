import { isReservedKey } from '../../pdp/external-json.ts';
import { InputError, type Problem } from '../../pdp/errors.ts';

/** What an issuer's tokens prove: a user, a device, or a workload. Tokens of one use are never taken for another (RFC 8725 §3.12). */
export type TokenUse = 'user' | 'device' | 'workload' | 'application';

/** How a claim becomes an attribute. `string_set` reads an array of strings, or one string of words parted by spaces (`scope`). */
export type ClaimType = 'string' | 'long' | 'bool' | 'string_set';

/** One claim that becomes an attribute. */
export interface ClaimAttribute {
  /** Top-level name of the claim, taken literally; a JSON Pointer (RFC 6901) through objects where it starts with '/'. */
  readonly claim: string;
  readonly type: ClaimType;
}

/** Which claims leave the verifier; nothing else does. Each claim is a name or a JSON Pointer, as in {@link ClaimAttribute}. */
export interface ClaimMapping {
  /** Claim with the subject's groups: an array of strings. */
  readonly groups?: string;
  /** Claim with the id of the user's device. */
  readonly deviceId?: string;
  /** Name of the issuer of devices whose ids that claim holds; default the issuer's own name. */
  readonly deviceIssuer?: string;
  /** Claim with the session id; default `sid`. */
  readonly sessionId?: string;
  /** Claim with the tenant of the subject; default none. */
  readonly tenant?: string;
  /** Claim with the address of the subject, by which security events may call it; default, for users: `email`. */
  readonly email?: string;
  /** Claim with the client that the token was issued to; default `client_id` (RFC 9068 §2.2). */
  readonly clientId?: string;
  /** Attributes by name. */
  readonly attributes?: Readonly<Record<string, ClaimAttribute>>;
}

/** What a sender must prove to hold, beside the token; `any`: either of the two. */
export type BindingRule = 'none' | 'certificate' | 'dpop' | 'any';

/** An issuer as operators configure it. */
export interface IssuerOptions {
  /** Our own short name for it; the first part of user ids. */
  readonly name: string;
  /** Exact value of the `iss` claim. */
  readonly issuer: string;
  readonly use: TokenUse;
  /** Lower-case name of the header that its tokens come in; default `authorization`, with a scheme. Any other holds the bare token. */
  readonly header?: string;
  /** Values of `aud` that mean us; at least one. */
  readonly audiences: readonly string[];
  /** Accepted values of `alg`; asymmetric signatures only. */
  readonly algorithms: readonly string[];
  /** Accepted values of `typ`, case and an `application/` prefix aside; '' accepts tokens without `typ`. */
  readonly types: readonly string[];
  /** `rfc9068`: JWT access tokens of that profile; narrows `types` and adds to `requiredClaims`. */
  readonly profile?: 'rfc9068';
  /** Where `iss` and `exp` are: AWS Verified Access puts them into the JOSE header, and its ARN as `signer` in place of `aud`. */
  readonly registeredIn?: 'payload' | 'header';
  /** Seconds by which clocks may differ; default 30, at most 60. */
  readonly skewSeconds?: number;
  /** Longest time since `iat`, in seconds, whatever `exp` says; default none. */
  readonly maxAgeSeconds?: number;
  /** Claims that must be there. */
  readonly requiredClaims?: readonly string[];
  /** Claims that mark a token of another kind. Default, for users: those that only ID tokens have. */
  readonly forbiddenClaims?: readonly string[];
  /** Claims that must have one of the listed values. */
  readonly claimValues?: Readonly<Record<string, readonly string[]>>;
  /** What must be proven of every token; a token with `cnf` is bound in any case. Default `none`. */
  readonly binding?: BindingRule;
  /** Refuse the higher of the two signatures that ECDSA allows, in place of lowering it; default false. */
  readonly requireLowS?: boolean;
  readonly claims?: ClaimMapping;
}

/** An issuer whose options were found valid. Made only by {@link createIssuer}. */
export interface Issuer extends Required<Omit<IssuerOptions, 'claims' | 'profile'>> {
  readonly claims: ClaimMapping & Required<Pick<ClaimMapping, 'sessionId' | 'clientId' | 'attributes'>>;
}

/** The signature algorithms that an issuer may be configured with (RFC 8725 §3.2: no `none`, nothing symmetric). */
export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

const MAX_SKEW_SECONDS = 60;

/** Checks an issuer's options and fills in the defaults. Throws `InputError` with every problem found. */
export function createIssuer(options: IssuerOptions): Issuer {
  const problems = issuerProblems(options);
  if (problems.length > 0) throw new InputError('an issuer is not configured well', problems);
  const types = options.types.map(normaliseType);
  const { profile, claims, ...given } = options;
  return {
    ...given,
    header: options.header ?? 'authorization',
    types: profile === undefined ? types : types.filter((type) => type === ACCESS_TOKEN),
    registeredIn: options.registeredIn ?? 'payload',
    skewSeconds: options.skewSeconds ?? 30,
    maxAgeSeconds: options.maxAgeSeconds ?? Number.POSITIVE_INFINITY,
    requiredClaims: [...(options.requiredClaims ?? []), ...(profile === undefined ? [] : RFC_9068_CLAIMS)],
    forbiddenClaims: options.forbiddenClaims ?? (FORBIDS_ID_TOKENS.has(options.use) ? ID_TOKEN_CLAIMS : []),
    claimValues: options.claimValues ?? {},
    binding: options.binding ?? 'none',
    requireLowS: options.requireLowS ?? false,
    claims: {
      ...claims,
      sessionId: claims?.sessionId ?? 'sid',
      // Of a device or a workload it would say nothing.
      ...(options.use === 'user' && { email: claims?.email ?? 'email' }),
      clientId: claims?.clientId ?? 'client_id',
      attributes: claims?.attributes ?? {},
    },
  };
}

const ACCESS_TOKEN = 'at+jwt';
/** RFC 9068 §2.2, beside `iss`, `exp`, `aud` and `sub`, which are always required. */
const RFC_9068_CLAIMS = ['client_id', 'iat', 'jti'];
/** OpenID Connect Core §2 and §3.3.2.11: what an ID token may say, and no access token does. */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash'];
/** Uses for which a token of a login must not be taken. */
const FORBIDS_ID_TOKENS: ReadonlySet<TokenUse> = new Set(['user', 'application']);

/** `typ` in the form in which values are compared: RFC 7515 §4.1.9 lets `application/` be left out. */
export function normaliseType(type: string): string {
  const lower = type.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}

/** Why an issuer's options are not valid; empty where they are. */
export function issuerProblems(options: IssuerOptions): Problem[] {
  const where = `issuer '${options.name}'`;
  const messages = [
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(options.name)
      ? undefined
      : 'name: must be 1 to 63 letters, digits, dots, dashes or underscores',
    options.issuer === '' ? 'issuer: must not be empty' : undefined,
    listProblem('audiences', options.audiences),
    options.audiences.includes('') ? 'audiences: must not hold an empty value' : undefined,
    listProblem('algorithms', options.algorithms),
    ...options.algorithms
      .filter((algorithm) => !(ALGORITHMS as readonly string[]).includes(algorithm))
      .map((algorithm) => `algorithms: '${algorithm}' is not an accepted signature algorithm`),
    listProblem('types', options.types),
    options.profile !== undefined && !options.types.map(normaliseType).includes(ACCESS_TOKEN)
      ? `types: must hold '${ACCESS_TOKEN}', which is the type of the profile`
      : undefined,
    options.header === undefined || /^[a-z0-9-]{1,64}$/.test(options.header)
      ? undefined
      : 'header: must be the lower-case name of a header',
    // Their header is that of all assertions of devices, and what they must be bound to is asked of all alike.
    ...(['header', 'binding'] as const)
      .filter((key) => options.use === 'device' && options[key] !== undefined)
      .map((key) => `${key}: is for issuers of users; for devices see the settings of devices`),
    options.registeredIn === 'header' && (options.header ?? 'authorization') === 'authorization'
      ? "registeredIn: claims in the token's header are for assertion headers only"
      : undefined,
    (options.maxAgeSeconds ?? 1) > 0 ? undefined : 'maxAgeSeconds: must be greater than 0',
    ...Object.entries(options.claimValues ?? {}).map(([claim, values]) =>
      values.length === 0 ? `claimValues.${claim}: must hold at least one value` : undefined,
    ),
    skewProblem(options.skewSeconds ?? 0),
    ...mappingProblems(options.claims ?? {}),
  ];
  return messages.filter((message) => message !== undefined).map((message) => ({ where, message }));
}

function listProblem(key: string, values: readonly string[]): string | undefined {
  return values.length === 0 ? `${key}: must hold at least one value` : undefined;
}

function skewProblem(seconds: number): string | undefined {
  const valid = Number.isFinite(seconds) && seconds >= 0 && seconds <= MAX_SKEW_SECONDS;
  return valid ? undefined : `skewSeconds: must be between 0 and ${MAX_SKEW_SECONDS}`;
}

function mappingProblems(mapping: ClaimMapping): string[] {
  const attributes = Object.entries(mapping.attributes ?? {});
  const claims: [string, string | undefined][] = [
    ['groups', mapping.groups],
    ['deviceId', mapping.deviceId],
    ['sessionId', mapping.sessionId],
    ['tenant', mapping.tenant],
    ['email', mapping.email],
    ['clientId', mapping.clientId],
    ...attributes.map(([name, { claim }]): [string, string] => [`attributes.${name}`, claim]),
  ];
  return [
    ...claims.flatMap(([key, claim]) => {
      const problem = claim === undefined ? undefined : claimProblem(claim);
      return problem === undefined ? [] : [`claims.${key}: ${problem}`];
    }),
    ...attributes
      .filter(([name]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || isReservedKey(name))
      .map(([name]) => `claims.attributes.${name}: must be named like a Cedar identifier`),
    ...attributes
      .filter(([name]) => OWN_ATTRIBUTES.has(name))
      .map(([name]) => `claims.attributes.${name}: is filled in from what was verified`),
  ];
}

/** Attributes of `context.token` that no mapping may speak for. */
const OWN_ATTRIBUTES: ReadonlySet<string> = new Set([
  'issuer',
  'audience',
  'expires_at',
  'client_id',
  'actor',
  'actors',
  'bound',
]);

function claimProblem(claim: string): string | undefined {
  if (claim === '') return 'must name a claim';
  return claim.startsWith('/') && /~(?![01])/.test(claim) ? 'is not a JSON Pointer' : undefined;
}
