import type {
  DeviceIdentity,
  Identities,
  ProvenWorkload,
  VerifiedToken,
} from '../../../../src/pdp/identity.ts';
import type { SecurityEffect } from '../../../../src/pdp/security-event.ts';
import type { SharedState } from '../../../../src/pdp/shared-state.ts';
import type { SubjectKind, SubjectRef } from '../../../../src/pdp/subject-key.ts';
import type { Authenticated } from '../../../../src/pdp/trace.ts';
import { type RevocationOptions, SharedRevocations } from '../../../../src/pip/revocation/revocations.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { START, manualClock, memoryLog, receivedWith } from '../fixture.ts';

export const START_S = START / 1000;

export const ref = (kind: SubjectKind, id: string): SubjectRef => ({ kind, id });

export function workload(id: string): ProvenWorkload {
  const identity = parseSpiffeId(id);
  if ('invalid' in identity) throw new Error(identity.invalid);
  return { ...identity, evidence: 'principal' };
}

/** Who asks, in the short form of tests. */
export interface Who {
  readonly token?: Partial<VerifiedToken>;
  readonly device?: Partial<DeviceIdentity>;
  readonly source?: string;
  readonly origin?: string;
  readonly pep?: string;
  /** The token by which the calling application says who it is. */
  readonly application?: Partial<VerifiedToken>;
  readonly asserted?: { readonly type: string; readonly id: string; readonly subjects?: readonly string[] };
}

/** A question after authentication: of alice, with all that a token can say, unless said otherwise. */
export function questionOf(who: Who): Authenticated {
  const { asserted, pep, application } = who;
  const { request, canonical, ...envelope } = receivedWith();
  const common = {
    ...envelope,
    pep: {
      address: '127.0.0.1:5',
      ...(pep !== undefined && { workload: workload(pep) }),
      ...(application && { application: { id: `idp/${application.subject}`, token: tokenOf(application) } }),
    },
    identities: identitiesOf(who),
  };
  if (asserted === undefined) return { ...common, request, canonical };
  const { type, id, subjects = [] } = asserted;
  const entity = { uid: { type, id }, properties: {}, subjects };
  const asked = {
    subject: entity,
    credentials: request.http.headers,
    action: { type: 'A', id: 'x' },
    resource: { ...entity, uid: { type: 'R', id: 'r' } },
    context: {},
    asserted: ['subject'],
  };
  return { ...common, asked };
}

function identitiesOf({ token, device, source, origin }: Who): Identities {
  return {
    ...(token && { user: { id: `idp/${token.subject ?? 'alice'}`, token: tokenOf(token) } }),
    ...(device && { device: { id: 'mdm/laptop', evidence: 'assertion', ...device } }),
    ...(source !== undefined && { source: workload(source) }),
    ...(origin !== undefined && { origin: workload(origin) }),
    tokenState: token ? 'valid' : 'absent',
  };
}

function tokenOf(token: Partial<VerifiedToken>): VerifiedToken {
  return {
    issuer: 'idp',
    subject: 'alice',
    algorithm: 'ES256',
    audiences: ['api'],
    issuedAt: START_S - 10,
    expiresAt: START_S + 300,
    claims: {},
    groups: [],
    ...token,
  };
}

/** All that a token can say of whom it is about. */
export const WHOLE: Partial<VerifiedToken> = {
  email: 'alice@example.com',
  sessionId: 's1',
  tokenId: 't1',
  tenantId: 'acme',
};

/** Revocations on a real state of one process, with a lag that the test sets. */
export async function setUp(options: Partial<RevocationOptions> = {}) {
  const clock = manualClock();
  const log = memoryLog();
  const embedded = await openEmbeddedState({ clock, log, maxEntries: 10_000, timeoutMs: 1000 });
  let lag = 0;
  const shared: SharedState = {
    put: (entries, options) => embedded.put(entries, options),
    get: (key) => embedded.get(key),
    list: (prefix) => embedded.list(prefix),
    onChange: (listener) => embedded.onChange(listener),
    lagMs: () => lag,
    [Symbol.asyncDispose]: () => embedded[Symbol.asyncDispose](),
  };
  const settings: RevocationOptions = {
    shared,
    clock,
    log,
    keepMs: 3_600_000,
    eventsMaxAgeMs: 7_200_000,
    maxLagMs: 5000,
    denyAfterMs: 60_000,
    ...options,
  };
  const revocations = new SharedRevocations(settings);
  return {
    clock,
    log,
    shared,
    revocations,
    settings,
    setLag: (ms: number): void => void (lag = ms),
    apply: (...effects: readonly SecurityEffect[]) => revocations.apply(effects),
    /** The reason that a question is refused for. */
    reason: (who: Who) => revocations.refusal(questionOf(who))?.refusal,
    detail: (who: Who) => revocations.refusal(questionOf(who))?.detail,
  };
}

/** An effect of a stream, now. */
export const voidBefore = (
  subjects: readonly SubjectRef[],
  at = START,
  more: object = {},
): SecurityEffect => ({
  effect: 'void_before',
  subjects,
  at,
  source: 'okta',
  ...more,
});

export const shutOff = (subjects: readonly SubjectRef[], at = START, more: object = {}): SecurityEffect => ({
  effect: 'shut_off',
  subjects,
  at,
  source: 'okta',
  ...more,
});

export const restore = (subjects: readonly SubjectRef[], at = START, more: object = {}): SecurityEffect => ({
  effect: 'restore',
  subjects,
  at,
  source: 'okta',
  ...more,
});
