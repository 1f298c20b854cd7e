import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, WorkloadIdentity } from '../../pdp/identity.ts';
import type { TrustBundle, TrustBundles } from '../../pdp/x509-svid.ts';
import { type CompactJws, MAX_TOKEN_LENGTH, parseCompactJws } from '../token/compact-jws.ts';
import { type Issuer, createIssuer } from '../token/issuer.ts';
import { createSignatureLimiter } from '../limiter.ts';
import { createLowS } from '../token/low-s.ts';
import { oneOf, printable } from '../printable.ts';
import { checkRegisteredClaims } from '../token/registered-claims.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { createSvidSignatureCheck } from './jwt-svid-keys.ts';
import { type WorkloadTokenReader, aboutToken, tokenIn } from './token-header.ts';

/** Settings of {@link createJwtSvidReader}. */
export interface JwtSvidOptions {
  /** Lower-case name of the header. In `authorization` only bearer tokens whose `sub` is a SPIFFE ID are looked at. */
  readonly header: string;
  /** Values of `aud` that mean us; at least one. */
  readonly audiences: readonly string[];
  readonly bundles: () => TrustBundles;
  /** Seconds by which clocks may differ; default 30. */
  readonly skewSeconds?: number;
  /** Verified tokens that are remembered; default 4096. */
  readonly maxEntries?: number;
}

/** JWT-SVID §2.1: no EdDSA, no `none`, nothing symmetric. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];
const TYPES = ['JWT', 'JOSE'];
/** JWT-SVID §2: the only members of the header. */
const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ']);

/** Whether a token says that it is a workload's: its `sub` is a SPIFFE ID. Nothing is verified. */
export function isJwtSvid(token: string): boolean {
  const jws = parseCompactJws(token);
  if (isRefusal(jws)) return false;
  const { sub } = jws.payload;
  return typeof sub === 'string' && /^spiffe:\/\//i.test(sub);
}

/**
 * Makes the reader of JWT-SVIDs, by the rules of JWT-SVID §2-4: signed with a key that the bundle of the trust domain in its `sub` has for
 * JWT-SVIDs, one of the nine algorithms, for one of our audiences, not expired. A token is a bearer's: it proves who it was made for, and no
 * mutual TLS. What was verified is remembered until it expires or the bundle changes.
 */
export function createJwtSvidReader(options: JwtSvidOptions): WorkloadTokenReader {
  const { header, bundles, maxEntries: max = 4096 } = options;
  const verify = createVerification(options);
  const known = new LRUCache<string, Known>({ max });
  const lower = createLowS();
  return (received) => {
    const sent = tokenIn(received, header);
    if (typeof sent !== 'string') return sent;
    if (header === 'authorization' && !isJwtSvid(sent)) return undefined;
    if (sent.length > MAX_TOKEN_LENGTH) return aboutToken('JWT-SVID', header, sent, TOO_LONG);
    const { token } = lower(sent);
    const key = hash('sha256', token, 'base64url');
    const hit = known.get(key);
    const now = received.receivedAt;
    if (hit && isGood(hit, now, bundles())) return Promise.resolve({ workload: hit.workload, token: sent });
    return verify(token, now).then((verified) => {
      if (isRefusal(verified)) return aboutToken('JWT-SVID', header, sent, verified);
      known.set(key, verified);
      return { workload: verified.workload, token: sent };
    });
  };
}

const TOO_LONG = refuse('token_malformed', `it is longer than ${MAX_TOKEN_LENGTH} bytes`);

interface Known {
  readonly workload: ProvenWorkload;
  readonly authorities: TrustBundle['jwtAuthorities'];
  /** Unix ms. */
  readonly since: number;
  /** Unix ms. */
  readonly until: number;
}

function isGood({ workload, authorities, since, until }: Known, now: number, bundles: TrustBundles): boolean {
  return now >= since && now < until && bundles.get(workload.trustDomain)?.jwtAuthorities === authorities;
}

function createVerification({ audiences, bundles, skewSeconds = 30 }: JwtSvidOptions) {
  const rules = createIssuer({
    name: 'jwt-svid',
    issuer: 'spiffe',
    use: 'workload',
    audiences,
    algorithms: ALGORITHMS,
    types: TYPES,
    skewSeconds,
  });
  const checkSignature = createSvidSignatureCheck();
  const limiter = createSignatureLimiter();
  return async (token: string, now: number): Promise<Known | Refusal> => {
    const claim = readClaim(token);
    if (isRefusal(claim)) return claim;
    const { header, identity } = claim;
    const authorities = authoritiesOf(identity, bundles());
    if (isRefusal(authorities)) return authorities;
    const checked = await limiter.run(() => checkSignature(token, header, authorities));
    if (checked === 'full') return refuse('overloaded', 'too many new JWT-SVIDs wait to be verified');
    return checked ?? accept(claim, rules, authorities, now);
  };
}

function authoritiesOf(
  { trustDomain }: WorkloadIdentity,
  bundles: TrustBundles,
): TrustBundle['jwtAuthorities'] | Refusal {
  const authorities = bundles.get(trustDomain)?.jwtAuthorities;
  if (!authorities)
    return refuse('token_issuer_unknown', `no bundle of trust domain '${trustDomain}' is held`, {
      cause: 'trust_domain',
    });
  return authorities.length > 0
    ? authorities
    : refuse('token_key_unknown', `the bundle of trust domain '${trustDomain}' has no keys for JWT-SVIDs`);
}

/** What a token says, in the form that a JWT-SVID has. */
interface SvidClaim {
  readonly header: { readonly alg: string; readonly kid?: unknown };
  readonly payload: CompactJws['payload'];
  readonly identity: WorkloadIdentity;
}

function readClaim(token: string): SvidClaim | Refusal {
  const jws = parseCompactJws(token);
  if (isRefusal(jws)) return jws;
  const { header, payload } = jws;
  const { alg, typ, kid } = header;
  const other = Object.keys(header).find((name) => !HEADER_MEMBERS.has(name));
  if (other !== undefined)
    return refuse('token_malformed', `the header has the member ${printable(other)}, which no JWT-SVID has`);
  if (kid !== undefined && typeof kid !== 'string') return refuse('token_malformed', "'kid' is not a string");
  if (typ !== undefined && !TYPES.some((type) => type === typ))
    return refuse('token_type_refused', `the type is not ${oneOf(TYPES)}, nor missing`);
  if (typeof alg !== 'string' || !ALGORITHMS.includes(alg)) {
    const seen = typeof alg === 'string' ? printable(alg) : 'missing';
    return refuse('token_algorithm_refused', `algorithm is ${seen}, which no JWT-SVID has`);
  }
  const { sub } = payload;
  if (typeof sub !== 'string') return refuse('token_claims_refused', "'sub' is missing or not a string");
  const identity = parseSpiffeId(sub);
  if ('invalid' in identity)
    return refuse('token_claims_refused', `'sub' ${printable(sub)} is no SPIFFE ID: ${identity.invalid}`, {
      cause: 'spiffe_id',
    });
  return { header: { alg, kid }, payload, identity };
}

function accept(
  { payload, identity }: SvidClaim,
  rules: Issuer,
  authorities: TrustBundle['jwtAuthorities'],
  now: number,
): Known | Refusal {
  // The subject was read above, and may be longer than other issuers' subjects.
  const registered = checkRegisteredClaims(rules, { ...payload, sub: identity.trustDomain }, now);
  if (isRefusal(registered)) return registered;
  if ('cnf' in payload)
    return refuse('token_binding_failed', 'it is bound to a key (cnf), which no JWT-SVID is');
  const until = (registered.expiresAt + rules.skewSeconds) * 1000;
  const workload: ProvenWorkload = {
    ...identity,
    evidence: 'jwt_svid',
    provenUntil: registered.expiresAt * 1000,
  };
  return { workload, authorities, since: now, until };
}
