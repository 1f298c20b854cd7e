import { INCIDENTAL_HEADERS } from '../api/ext-authz/incidental-headers.ts';
import type { ApplicationAuthenticator } from '../api/question/access.ts';
import { createApplicationAuthenticator } from '../pip/token/application-token.ts';
import { type PolicyEvents, openPolicies } from './policies.ts';
import { checkComposable } from './problems.ts';
import { type RevocationParts, openRevocations } from './revocation.ts';
import { type GrantFacts, openGrantFacts } from './grants.ts';
import { type Sources, openSources } from './sources.ts';
import { createSubjectReader } from './subject-reader.ts';
import { openTokens } from './tokens.ts';
import { openWorkloads, workloadTokenRule } from './workloads.ts';
import type { Config } from '../config.ts';
import { ensureDemoIssuer } from '../demo-issuer.ts';
import { createDecisionCache } from '../pdp/decision-cache.ts';
import { type DecisionPoint, type DecisionPointParts, createDecisionPoint } from '../pdp/decide.ts';
import type { Log } from '../pdp/log.ts';
import { RecentAnswers } from '../pdp/recent-answers.ts';
import { NO_REVOCATIONS } from '../pdp/no-revocations.ts';
import type { PolicySlots } from '../pdp/policy-slots.ts';
import type { PolicySnapshot } from '../pdp/policy-snapshot.ts';
import type {
  AttributeSource,
  Clock,
  Observer,
  Recorder,
  Revocations,
  UserAuthenticator,
} from '../pdp/ports.ts';
import type { SharedState } from '../pdp/shared-state.ts';
import { Shadow } from '../pdp/shadow.ts';
import type { TrustBundles } from '../pdp/x509-svid.ts';
import type { ShadowOutcome } from '../pdp/shadow-report.ts';
import { type DeviceAuthenticatorOptions, createDeviceAuthenticator } from '../pip/device/device.ts';
import type { SharedRevocations } from '../pip/revocation/revocations.ts';
import type { Issuer } from '../pip/token/issuer.ts';
import { createHeaderOfToken } from '../pip/token/token-headers.ts';
import type { TokenVerifier } from '../pip/token/token-verifier.ts';
import type { IssuerKeys } from '../telemetry/issuers.ts';
import { warmUp } from '../warm-up.ts';

/** The machine's clock. */
export const SYSTEM_CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The deciding part of the process, without a wire or a log. */
export interface Core extends AsyncDisposable {
  readonly decisionPoint: DecisionPoint;
  readonly policies: PolicySlots;
  /** Absent where no candidate is configured, or nobody listens. */
  readonly shadow?: Shadow;
  readonly verifier: TokenVerifier;
  /** The header in which a user's token would come; see {@link createHeaderOfToken}. */
  readonly headerOfToken: (token: string) => string;
  /** Absent where no issuer vouches for applications. */
  readonly applications: ApplicationAuthenticator | undefined;
  /** Decides as `decisionPoint` does, and neither records nor counts: for what is not an answer by itself. */
  readonly unrecorded: DecisionPoint;
  readonly cache: ReturnType<typeof createDecisionCache>;
  /** How it stands with the keys of each issuer. */
  readonly issuerKeys: readonly IssuerKeys[];
  readonly issuers: readonly Issuer[];
  readonly sources: Sources;
  /** Absent where no grants are configured. */
  readonly grants?: GrantFacts;
  readonly user: UserAuthenticator;
  readonly revocations: SharedRevocations;
}

/** What the core tells the rest of the process. */
export interface CoreParts extends PolicyEvents, Pick<RevocationParts, 'onRevoked'> {
  readonly recorder: Recorder;
  readonly observer: Observer;
  readonly log: Log;
  /** What replicas share. Its owner closes it, after the core. */
  readonly shared: SharedState;
  /** The trust bundles in force, for the evidence about workloads; none where not given. */
  readonly bundles?: () => TrustBundles;
  /** Told of each question to an information point outside of this process, and how long it took in ms. */
  readonly onAsked?: (source: string, ms: number) => void;
  /** Told of each comparison with the candidate; without it there are none. */
  readonly onShadow?: (outcome: ShadowOutcome | 'skipped') => void;
}

const UNRECORDED = { recorder: { record: () => Promise.resolve() }, observer: { checked: () => undefined } };

/** Shadow evaluations are not what answers wait for. */
const SHADOW_CACHE_BYTES = 8 * 1024 * 1024;

/** Wires identity, information points, policies and cache to a decision point. Throws `InputError` for what people wrote wrong. */
export async function composeCore(config: Config, parts: CoreParts): Promise<Core> {
  checkComposable(config);
  await using stack = new AsyncDisposableStack();
  const { log } = parts;
  const clock = SYSTEM_CLOCK;
  const policies = await openPolicies(config.policies, { clock, log, events: parts }, stack);
  const issuers = config.demo ? [...config.issuers, await ensureDemoIssuer(config)] : config.issuers;
  const isWorkloadToken = workloadTokenRule(config.workloads);
  const tokens = await openTokens(issuers, config.tokens, { clock, log, isWorkloadToken }, stack);
  const { verifier } = tokens;
  const readSubject = createSubjectReader(config);
  const revocations = await openRevocations(config.revocation, { ...parts, clock, readSubject }, stack);
  const sources = await openSources(config.pips, sourceParts(parts, revocations), stack);
  stack.use(revocations.onSubject(({ kind, id }) => sources.invalidation.invalidate(kind, id)));
  warnOfUnknownSubjects(policies.current(), sources.all, log);
  const grants = openGrantFacts(config.grants, { shared: parts.shared, clock }, stack);
  const cache = createDecisionCache(config.decision.cache.max_bytes);
  const deciding: DecisionPointParts = {
    clock,
    workload: openWorkloads(config, { verifier, bundles: parts.bundles }),
    user: tokens.user,
    device: createDeviceAuthenticator({ verifier, ...deviceRules(config.devices) }),
    snapshots: policies,
    sources: [...sources.all, ...(grants ? [grants.source] : []), ...revocations.sources],
    revocations,
    cache,
    maxAgeMs: config.decision.cache.max_age_ms,
    acceptsTokens: issuers.some((issuer) => issuer.use === 'user'),
    upgrades: config.decision.upgrades,
    recorder: parts.recorder,
    observer: parts.observer,
  };
  await warmUp(deciding, tokens.rehearsal, tokens.issuers);
  const shadow = openShadow(config, deciding, policies, parts);
  if (shadow) stack.use(shadow);
  const owned = stack.move();
  return {
    decisionPoint: createDecisionPoint({
      ...deciding,
      observer: observerOf(parts.observer, shadow),
      recentAnswers: recentAnswersOf(config, policies, shadow),
    }),
    unrecorded: createDecisionPoint({ ...deciding, ...UNRECORDED }),
    policies,
    ...(shadow && { shadow }),
    verifier,
    headerOfToken: createHeaderOfToken(tokens.issuers),
    applications: applicationsOf(issuers, verifier),
    cache,
    issuerKeys: tokens.keySets,
    issuers: tokens.issuers,
    sources,
    ...(grants && { grants }),
    user: tokens.user,
    revocations,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** They take as much again as the evaluations may; without a cache there is nothing that could be remembered. */
function recentAnswersOf(
  { decision }: Config,
  { candidate }: PolicySlots,
  shadow: Shadow | undefined,
): RecentAnswers {
  const { max_bytes: maxBytes, max_age_ms: maxAgeMs } = decision.cache;
  const shadowed = () => shadow && candidate.current()?.bindings.headers;
  return new RecentAnswers(maxAgeMs > 0 ? maxBytes : 0, INCIDENTAL_HEADERS, shadowed);
}

/** What is fetched once is used only as long as we hear of changes in time. */
function sourceParts(
  { log, onAsked }: CoreParts,
  revocations: Revocations,
): Parameters<typeof openSources>[1] {
  const isCurrent = (): boolean => revocations.isCurrent();
  return { clock: SYSTEM_CLOCK, log, isCurrent, ...(onAsked && { onAsked }) };
}

function applicationsOf(
  issuers: Config['issuers'],
  verifier: TokenVerifier,
): ApplicationAuthenticator | undefined {
  const vouched = issuers.some(({ use }) => use === 'application');
  return vouched ? createApplicationAuthenticator(verifier) : undefined;
}

/** Attributes that nobody gives are missing in every decision, which looks like a policy that never permits. */
function warnOfUnknownSubjects(
  snapshot: PolicySnapshot | undefined,
  sources: readonly AttributeSource[],
  log: Log,
): void {
  const known = new Set(sources.map(({ subject }) => subject));
  const unknown = (snapshot?.bindings.subjects ?? []).filter((subject) => !known.has(subject));
  if (unknown.length > 0)
    log.warn(
      { subjects: unknown },
      'bindings name objects (resource.pip) that no information point knows: see pips[].subject',
    );
}

function openShadow(
  { policies: { candidate } }: Config,
  deciding: DecisionPointParts,
  slots: PolicySlots,
  { log, onShadow }: CoreParts,
): Shadow | undefined {
  if (!candidate || !onShadow) return undefined;
  return new Shadow({
    ...deciding,
    // What was revoked since the answer is no difference between policies.
    revocations: NO_REVOCATIONS,
    cache: createDecisionCache(SHADOW_CACHE_BYTES),
    active: slots,
    candidate: slots.candidate,
    log,
    sample: candidate.sample,
    onOutcome: onShadow,
  });
}

function observerOf(observer: Observer, shadow: Shadow | undefined): Observer {
  if (!shadow) return observer;
  return {
    turnedAway: (trace) => observer.turnedAway?.(trace),
    checked(trace) {
      observer.checked(trace);
      shadow.observe(trace);
    },
  };
}

function deviceRules(devices: Config['devices']): Omit<DeviceAuthenticatorOptions, 'verifier'> {
  return {
    header: devices.assertion_header,
    requireBinding: devices.require_binding,
    maxPostureAgeSeconds: devices.max_posture_age_s,
    maxPostureAgeByIssuer: new Map(Object.entries(devices.max_posture_age_s_by_issuer)),
  };
}
