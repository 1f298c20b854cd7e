import type { AccessRequest } from '../pdp/access-request.ts';
import { CallScope } from '../pdp/call-scope.ts';
import { createDecisionPoint } from '../pdp/decide.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';
import { HeaderFields } from '../pdp/header-fields.ts';
import type { DeviceIdentity, UserIdentity } from '../pdp/identity.ts';
import { NO_REVOCATIONS } from '../pdp/no-revocations.ts';
import type { PolicySnapshot } from '../pdp/policy-snapshot.ts';
import type { Clock, DecisionCache, WorkloadAuthenticator } from '../pdp/ports.ts';
import type { DecisionTrace } from '../pdp/trace.ts';
import type { GivenDevice, GivenUser } from './case-schema.ts';
import { givenSources, recordOf } from './given-sources.ts';
import { givenWorkloads } from './given-workloads.ts';
import type { RequestCase } from './test-case.ts';

/** The clock of a case that names none: tests must not change with the day they run on. */
const DEFAULT_NOW = '2026-01-01T00:00:00Z';
const TIMEOUT_MS = 5000;
const TOKEN_LIFE_S = 300;
const NO_CACHE: DecisionCache = { get: () => undefined, set: () => undefined };

/**
 * Decides a case with the stages that serve: canonicalise, gather, bind, evaluate, conclude. Only authentication is replaced: user
 * and device are what the case says was verified, and so is evidence of workloads beyond principals, which the real `workload`
 * authenticator reads.
 */
export async function decideCase(
  test: RequestCase,
  snapshot: PolicySnapshot,
  workload: WorkloadAuthenticator,
): Promise<DecisionTrace> {
  const { given } = test;
  const now = Date.parse(given.now ?? DEFAULT_NOW);
  const clock: Clock = { now: () => now, monotonic: () => performance.now() };
  const user = given.user ? userOf(test, given.user, now) : undefined;
  const device = deviceOf(test, given.device ?? undefined, user, now);
  const question = questionOf(test);
  const parties = givenWorkloads(test, question, workload);
  const point = createDecisionPoint({
    clock,
    workload: parties.workload,
    user: { authenticate: () => Promise.resolve(user), missingKeys: () => [] },
    device: { authenticate: () => Promise.resolve(device) },
    snapshots: { current: () => snapshot },
    sources: givenSources(test, now),
    revocations: NO_REVOCATIONS,
    cache: NO_CACHE,
    maxAgeMs: 0,
    acceptsTokens: given.accepts_tokens ?? true,
    recorder: { record: () => Promise.resolve() },
    observer: { checked: () => undefined },
  });
  using scope = new CallScope(clock, TIMEOUT_MS);
  const envelope = {
    id: 'test',
    surface: 'ext_authz' as const,
    pep: parties.pep,
    receivedAt: now,
    startedAt: clock.monotonic(),
  };
  return await point.decide({ envelope, question, scope, decodeUs: 0 });
}

function questionOf(test: RequestCase): AccessRequest {
  const { given } = test;
  const headers = Object.entries(given.headers ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value) => [name, value] as const),
  );
  const peer = (principal: string | null | undefined) => ({
    principal: principal ?? '',
    certificate: '',
    service: '',
  });
  return {
    source: { ...peer(given.source), ...(typeof given.ip === 'string' && { ip: given.ip, port: 0 }) },
    destination: peer(given.destination),
    http: {
      method: given.method,
      path: given.path,
      host: given.host,
      scheme: given.scheme ?? 'https',
      protocol: 'HTTP/2',
      headers: new HeaderFields(headers, false),
      size: -1,
    },
    streamId: '',
    sni: given.sni ?? '',
    contextExtensions: new Map(Object.entries(given.extensions ?? {})),
    metadata: new Map(Object.entries(given.metadata ?? {})),
  };
}

function userOf(test: RequestCase, user: GivenUser, now: number): UserIdentity {
  const seconds = (instant: string | undefined) =>
    instant === undefined ? undefined : Math.floor(Date.parse(instant) / 1000);
  const { token_id: tokenId, session_id: sessionId, device_id: deviceId } = user;
  const issuedAt = seconds(user.issued_at);
  return {
    id: `${user.issuer}/${user.subject}`,
    token: {
      issuer: user.issuer,
      subject: user.subject,
      algorithm: user.algorithm,
      audiences: user.audiences,
      expiresAt: seconds(user.expires_at) ?? Math.floor(now / 1000) + TOKEN_LIFE_S,
      claims: recordOf(test, user.claims, 'claims of the user'),
      groups: user.groups,
      ...(tokenId !== undefined && { tokenId }),
      ...(sessionId !== undefined && { sessionId }),
      ...(deviceId !== undefined && { deviceId }),
      ...(issuedAt !== undefined && { issuedAt }),
      ...(user.client_id !== undefined && { clientId: user.client_id }),
      ...(user.actors !== undefined && { actors: user.actors }),
      ...(user.bound !== undefined && { confirmation: CONFIRMATIONS[user.bound] }),
    },
  };
}

/** The key does not matter: that it was shown has happened before. */
const CONFIRMATIONS = { certificate: { certificate: 'given' }, dpop: { key: 'given' } } as const;

/** The device that the case gives, else the one that the user's token names; both must be the same, as in service. */
function deviceOf(
  test: RequestCase,
  given: GivenDevice | undefined,
  user: UserIdentity | undefined,
  now: number,
): DeviceIdentity | Refusal | undefined {
  const claimed = user?.token.deviceId;
  if (!given) return claimed === undefined ? undefined : { id: claimed, evidence: 'token_claim' };
  if (claimed !== undefined && claimed !== given.id)
    return refuse('evidence_conflict', "the user's token and the device assertion name different devices");
  return {
    id: given.id,
    evidence: given.evidence,
    observedAt: now - given.age_s * 1000,
    ...(given.posture && { posture: recordOf(test, given.posture, 'posture of the device') }),
  };
}
