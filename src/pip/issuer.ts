import { isReservedKey } from '../pdp/external-json.ts';
import { InputError, type Problem } from '../pdp/errors.ts';

/** What an issuer's tokens prove: a user, or a device. Tokens of one use are never taken for the other (RFC 8725 §3.12). */
export type TokenUse = 'user' | 'device';

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
  /** Claim with the session id; default `sid`. */
  readonly sessionId?: string;
  /** Attributes by name. */
  readonly attributes?: Readonly<Record<string, ClaimAttribute>>;
}

/** An issuer as operators configure it. */
export interface IssuerOptions {
  /** Our own short name for it; the first part of user ids. */
  readonly name: string;
  /** Exact value of the `iss` claim. */
  readonly issuer: string;
  readonly use: TokenUse;
  /** Values of `aud` that mean us; at least one. */
  readonly audiences: readonly string[];
  /** Accepted values of `alg`; asymmetric signatures only. */
  readonly algorithms: readonly string[];
  /** Accepted values of `typ`, case and an `application/` prefix aside; '' accepts tokens without `typ`. */
  readonly types: readonly string[];
  /** Seconds by which clocks may differ; default 30, at most 60. */
  readonly skewSeconds?: number;
  readonly claims?: ClaimMapping;
}

/** An issuer whose options were found valid. Made only by {@link createIssuer}. */
export interface Issuer extends Required<Omit<IssuerOptions, 'claims'>> {
  readonly claims: ClaimMapping & Required<Pick<ClaimMapping, 'sessionId' | 'attributes'>>;
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
  return {
    ...options,
    types: options.types.map(normaliseType),
    skewSeconds: options.skewSeconds ?? 30,
    claims: {
      ...options.claims,
      sessionId: options.claims?.sessionId ?? 'sid',
      attributes: options.claims?.attributes ?? {},
    },
  };
}

/** `typ` in the form in which values are compared: RFC 7515 §4.1.9 lets `application/` be left out. */
export function normaliseType(type: string): string {
  const lower = type.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}

function issuerProblems(options: IssuerOptions): Problem[] {
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
  ];
}

function claimProblem(claim: string): string | undefined {
  if (claim === '') return 'must name a claim';
  return claim.startsWith('/') && /~(?![01])/.test(claim) ? 'is not a JSON Pointer' : undefined;
}
