import type { AccessRequest } from '../../../src/pdp/access-request.ts';
import type { AttributeAnswer, AttributeRecord, AttributeSubject } from '../../../src/pdp/attribute.ts';
import { CallScope } from '../../../src/pdp/call-scope.ts';
import { type DecisionPointParts, createDecisionPoint } from '../../../src/pdp/decide.ts';
import { createDecisionCache } from '../../../src/pdp/decision-cache.ts';
import { decisionId } from '../../../src/pdp/decision-id.ts';
import type { Refusal } from '../../../src/pdp/decision.ts';
import type { EntityQuestion } from '../../../src/pdp/entity-question.ts';
import type { DeviceIdentity, UserIdentity } from '../../../src/pdp/identity.ts';
import { NO_REVOCATIONS } from '../../../src/pdp/no-revocations.ts';
import type { PolicySnapshot } from '../../../src/pdp/policy-snapshot.ts';
import type { AttributeSource } from '../../../src/pdp/ports.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';
import { createWorkloadAuthenticator } from '../../../src/pip/workload/workload.ts';
import { type ManualClock, createManualClock } from '../../support/clock.ts';
import { accessRequest } from '../../support/requests.ts';
import { snapshotOf } from '../../support/snapshot.ts';

/** Sample policy: everything is permitted. */
export const PERMIT_ALL = '@id("all") permit(principal, action, resource);';

/** A user as a verified token leaves one. */
export function userIdentity(name: string, token: Partial<UserIdentity['token']> = {}): UserIdentity {
  return {
    id: `demo/${name}`,
    token: {
      issuer: 'demo',
      subject: name,
      algorithm: 'ES256',
      audiences: ['pdp'],
      expiresAt: Date.UTC(2026, 0, 1) / 1000 + 300,
      claims: {},
      groups: [],
      ...token,
    },
  };
}

/** A source that answers with these attributes, fresh for a minute from the clock's start. */
export function sourceOf(
  subject: AttributeSubject,
  attributes: AttributeRecord,
  options: Partial<AttributeSource & AttributeAnswer> = {},
): AttributeSource & { readonly asked: string[] } {
  const asked: string[] = [];
  const { groups = [], freshUntil = Date.UTC(2026, 0, 1) + 60_000, ...rest } = options;
  return {
    name: `${subject}-source`,
    subject,
    gives: [...Object.keys(attributes), ...(groups.length > 0 ? ['groups'] : [])],
    onFailure: 'deny',
    lookup(subjectId) {
      asked.push(subjectId);
      return { status: 'found', attributes, groups, observedAt: Date.UTC(2026, 0, 1), freshUntil };
    },
    ...rest,
    asked,
  };
}

/** What is special about one decision point. */
export interface Setup extends Partial<Omit<DecisionPointParts, 'user' | 'device'>> {
  readonly policies?: string;
  readonly schema?: string;
  readonly entities?: readonly object[];
  /** What verifying the user's token comes to. */
  readonly user?: UserIdentity | Refusal | (() => Promise<UserIdentity | Refusal | undefined>);
  /** What proving the device comes to. */
  readonly device?: DeviceIdentity | Refusal | (() => Promise<DeviceIdentity | Refusal | undefined>);
}

const compiled = new Map<string, PolicySnapshot>();

/** What `snapshotOf` compiles, compiled once for all decision points of a test file: a snapshot never changes. */
function sharedSnapshotOf(...texts: Parameters<typeof snapshotOf>): PolicySnapshot {
  const key = JSON.stringify(texts);
  const snapshot = compiled.get(key) ?? snapshotOf(...texts);
  compiled.set(key, snapshot);
  return snapshot;
}

/** A decision point of real parts, apart from the verified identities, the clock and the log. */
export function setUp({ policies = PERMIT_ALL, schema, entities, user, device, ...parts }: Setup = {}) {
  const clock: ManualClock = createManualClock();
  const records: DecisionTrace[] = [];
  const observed: DecisionTrace[] = [];
  const cache = createDecisionCache(1024 * 1024);
  let snapshot: PolicySnapshot | undefined = sharedSnapshotOf(policies, schema, entities);
  const point = createDecisionPoint({
    clock,
    workload: createWorkloadAuthenticator(),
    user: {
      authenticate: () => (typeof user === 'function' ? user() : Promise.resolve(user)),
      missingKeys: () => [],
    },
    device: { authenticate: () => (typeof device === 'function' ? device() : Promise.resolve(device)) },
    snapshots: { current: () => snapshot },
    sources: [],
    revocations: NO_REVOCATIONS,
    cache,
    maxAgeMs: 60_000,
    acceptsTokens: true,
    recorder: {
      record(trace) {
        records.push(trace);
        return Promise.resolve();
      },
    },
    observer: { checked: (trace) => void observed.push(trace) },
    ...parts,
  });
  return {
    clock,
    records,
    observed,
    cache,
    point,
    /** The snapshot in force. */
    snapshot: (): PolicySnapshot | undefined => snapshot,
    /** Puts another snapshot in force. */
    activate: (next: string | undefined): void => {
      snapshot = next === undefined ? undefined : sharedSnapshotOf(next, schema, entities);
    },
    /** Decides one question; `scope` is 50 ms unless given. */
    decide: async (
      question: AccessRequest | EntityQuestion | Refusal = accessRequest(),
      scope = new CallScope(clock, 50),
    ): Promise<DecisionTrace> => {
      using used = scope;
      const receivedAt = clock.now();
      const envelope = {
        id: decisionId(receivedAt),
        surface: 'ext_authz' as const,
        pep: { address: 'test' },
        receivedAt,
        startedAt: clock.monotonic(),
      };
      return await point.decide({ envelope, question, scope: used, decodeUs: 7 });
    },
  };
}
