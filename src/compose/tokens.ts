import { redisServerOf } from './redis.ts';
import type { Config } from '../config.ts';
import type { Problem } from '../pdp/errors.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock, UserAuthenticator } from '../pdp/ports.ts';
import { type DpopCheck, createDpopCheck, replayWindowMs } from '../pip/dpop/dpop.ts';
import { readOrigin } from '../pip/dpop/dpop-target.ts';
import { ISSUER_PRESETS, type IssuerPreset, fillTemplate } from '../pip/token/issuer-presets.ts';
import {
  type ClaimMapping,
  type Issuer,
  type IssuerOptions,
  createIssuer,
  issuerProblems,
} from '../pip/token/issuer.ts';
import { type KeySet, type KeySource, createKeySet } from '../pip/jwks/jwks.ts';
import { openRedisReplayStore } from '../pip/dpop/replay-store-redis.ts';
import { type ReplayStore, createMemoryReplayStore } from '../pip/dpop/replay-store.ts';
import { type TokenVerifier, createTokenVerifier } from '../pip/token/token-verifier.ts';
import { issuersProblems } from '../pip/token/trusted-issuers.ts';
import { createUserAuthenticator } from '../pip/token/user-token.ts';
import { KUBERNETES_CLAIMS, KUBERNETES_TYPES } from '../pip/workload/kubernetes-token.ts';

type IssuerConfig = Config['issuers'][number];

/** All that deals with tokens. */
export interface Tokens {
  readonly issuers: readonly Issuer[];
  readonly verifier: TokenVerifier;
  readonly user: UserAuthenticator;
  /** Verifies as `verifier` does, and remembers nothing and never has keys fetched, so that it can be tried out. */
  readonly rehearsal: TokenVerifier;
  readonly keySets: readonly KeySet[];
}

interface TokenParts {
  readonly clock: Clock;
  readonly log: Log;
  /** See `UserAuthenticatorOptions`. */
  readonly isWorkloadToken?: (token: string) => boolean;
}

/** Why the issuers cannot be used, each alone and all together; nothing is opened. */
export function issuerConfigProblems(configured: readonly IssuerConfig[]): Problem[] {
  const options = configured.map(issuerOptionsOf);
  const good = options.filter((one) => issuerProblems(one).length === 0);
  return [...options.flatMap(issuerProblems), ...issuersProblems(good.map(createIssuer))];
}

/**
 * Wires issuers, their keys, which are fetched from now on, and the check of DPoP proofs. Throws `InputError` for what people wrote
 * wrong.
 */
export async function openTokens(
  configured: readonly IssuerConfig[],
  tokens: Config['tokens'],
  parts: TokenParts,
  stack: AsyncDisposableStack,
): Promise<Tokens> {
  const keySets = new Map<string, KeySet>();
  for (const issuer of configured) {
    const { name, refresh_ms: refreshMs, stale_ceiling_ms: staleCeilingMs } = issuer;
    const source = keySourceOf(issuer);
    keySets.set(name, stack.use(createKeySet({ name, source, refreshMs, staleCeilingMs, ...parts })));
  }
  await Promise.all([...keySets.values()].map((keySet) => keySet.start()));
  const issuers = configured.map((issuer) => createIssuer(issuerOptionsOf(issuer)));
  const caching = { maxBytes: tokens.cache_max_bytes, maxAgeMs: tokens.cache_max_age_ms };
  const verifier = createTokenVerifier(issuers, keySets, parts.clock, caching);
  const dpop = await openDpop(tokens.dpop, parts, stack);
  const { isWorkloadToken } = parts;
  const user = createUserAuthenticator({
    verifier,
    issuers,
    dpop,
    ...(isWorkloadToken && { isWorkloadToken }),
  });
  const rehearsal = createTokenVerifier(issuers, withoutFetching(keySets), parts.clock);
  return { issuers, verifier, user, rehearsal, keySets: [...keySets.values()] };
}

function withoutFetching(keySets: ReadonlyMap<string, KeySet>): Map<string, KeySet> {
  return new Map(
    [...keySets].map(([name, keySet]) => [name, { ...keySet, requestRefresh: () => undefined }]),
  );
}

async function openDpop(
  { origins, algorithms, max_age_s: maxAgeSeconds, skew_s: skewSeconds, replay }: Config['tokens']['dpop'],
  { clock, log }: TokenParts,
  stack: AsyncDisposableStack,
): Promise<DpopCheck> {
  const windowMs = replayWindowMs(maxAgeSeconds, skewSeconds);
  const replays = await openReplays(replay, windowMs, { clock, log }, stack);
  if (replay.kind === 'memory' && Object.keys(origins).length > 0)
    log.info(
      { setting: 'tokens.dpop.replay' },
      'used DPoP proofs are remembered in this process: run one replica',
    );
  const external = Object.entries(origins).map(([host, list]): [string, string[]] => [
    host,
    [list].flat().flatMap((text) => readOrigin(text) ?? []),
  ]);
  return createDpopCheck({ origins: new Map(external), algorithms, maxAgeSeconds, skewSeconds, replays });
}

async function openReplays(
  replay: Config['tokens']['dpop']['replay'],
  windowMs: number,
  { clock, log }: TokenParts,
  stack: AsyncDisposableStack,
): Promise<ReplayStore> {
  const maxPerOwner = replay.max_per_key;
  if (replay.kind === 'memory')
    return createMemoryReplayStore({ clock, log, windowMs, maxPerOwner, maxEntries: replay.max_entries });
  const { key_prefix: keyPrefix, command_timeout_ms: commandTimeoutMs } = replay;
  const options = { keyPrefix, commandTimeoutMs, windowMs, maxPerOwner, log };
  return stack.use(await openRedisReplayStore({ ...redisServerOf(replay), ...options }));
}

function presetOf({ preset }: IssuerConfig): IssuerPreset | undefined {
  return preset === undefined ? undefined : ISSUER_PRESETS[preset];
}

function keySourceOf(issuer: IssuerConfig): KeySource {
  const { jwks, variables = {} } = issuer;
  const preset = presetOf(issuer);
  const algorithm = (issuer.algorithms ?? preset?.algorithms ?? [])[0] ?? '';
  if (jwks && !('pem_url' in jwks)) return jwks;
  if (jwks) return { pemUrl: jwks.pem_url, algorithm };
  const url = fillTemplate(preset?.keys ?? '', variables);
  return preset?.keyFormat === 'pem' ? { pemUrl: url, algorithm } : { url };
}

/** What is configured goes before what the preset says, key by key; attributes are added up. */
function issuerOptionsOf(config: IssuerConfig): IssuerOptions {
  const { name, use, audiences, variables = {}, profile, max_age_s: maxAgeSeconds } = config;
  const preset = presetOf(config);
  return {
    ...rulesOf(config, preset),
    name,
    use,
    audiences,
    issuer: config.issuer ?? fillTemplate(preset?.issuer ?? '', variables),
    algorithms: config.algorithms ?? preset?.algorithms ?? [],
    types: config.types ?? preset?.types ?? (config.kubernetes ? KUBERNETES_TYPES : ['at+jwt']),
    skewSeconds: config.skew_s,
    requireLowS: config.require_low_s,
    claims: config.kubernetes ? KUBERNETES_CLAIMS : claimsOf(config.claims, preset?.claims ?? {}),
    ...(profile !== undefined && { profile }),
    ...(maxAgeSeconds !== undefined && { maxAgeSeconds }),
    ...(preset?.registeredIn !== undefined && { registeredIn: preset.registeredIn }),
  };
}

function rulesOf(config: IssuerConfig, preset: IssuerPreset | undefined) {
  const header = config.header ?? preset?.header;
  const binding = config.binding ?? preset?.binding;
  const requiredClaims = config.required_claims ?? preset?.requiredClaims;
  const forbiddenClaims = config.forbidden_claims ?? preset?.forbiddenClaims;
  const claimValues = config.claim_values ?? preset?.claimValues;
  return {
    ...(header !== undefined && { header }),
    ...(binding !== undefined && { binding }),
    ...(requiredClaims !== undefined && { requiredClaims }),
    ...(forbiddenClaims !== undefined && { forbiddenClaims }),
    ...(claimValues !== undefined && { claimValues }),
  };
}

function claimsOf(config: IssuerConfig['claims'], preset: ClaimMapping): ClaimMapping {
  const groups = config.groups ?? preset.groups;
  const deviceId = config.device_id ?? preset.deviceId;
  const sessionId = config.session_id ?? preset.sessionId;
  const tenant = config.tenant ?? preset.tenant;
  const email = config.email ?? preset.email;
  const clientId = config.client_id ?? preset.clientId;
  return {
    attributes: { ...preset.attributes, ...config.attributes },
    ...(groups !== undefined && { groups }),
    ...(deviceId !== undefined && { deviceId }),
    ...(config.device_issuer !== undefined && { deviceIssuer: config.device_issuer }),
    ...(sessionId !== undefined && { sessionId }),
    ...(tenant !== undefined && { tenant }),
    ...(email !== undefined && { email }),
    ...(clientId !== undefined && { clientId }),
  };
}
