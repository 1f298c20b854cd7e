import type { AttributeRecord } from '../../pdp/attribute.ts';
import { GROUP_TYPES, typeName } from '../../pdp/entities.ts';
import { subjectsOf } from '../../pdp/entity-question.ts';
import { type CedarRequest, type EntityUid, uidText } from '../../pdp/evaluation.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { Recorded } from './recorded.ts';

/** One of whom information points, or callers, may know something. */
export interface Party {
  readonly uid: EntityUid;
  /** Under which information points know it. */
  readonly subjects: readonly string[];
  /** The caller named it, and may have said anything of it. */
  readonly asserted?: true;
  readonly workload?: WorkloadIdentity;
  /** What the record itself says of it: it goes before everything else. */
  readonly own: AttributeRecord;
  /** The name that groups in its token begin with. */
  readonly issuer?: string;
}

/** Everybody in a recorded question but the object of an HTTP request, each once, in the order in which `bind` adds them. */
export function partiesOf(
  recorded: Recorded,
  question: CedarRequest,
  next: PolicySnapshot,
): readonly Party[] {
  const parties: Party[] = [];
  const { contextKeys } = next.reads;
  const { source, origin, device, user, http } = recorded;
  if (source) parties.push(workloadParty(source));
  if (device) parties.push(party('Device', device.id, 'device'));
  if (user) parties.push(userParty(user));
  if (!http) parties.push(...[question.principal, question.resource].map((uid) => assertedParty(uid, next)));
  if (origin && contextKeys.has('origin')) parties.push(workloadParty(origin));
  const pep = contextKeys.has('pep') ? uidIn(question.context['pep']) : undefined;
  if (pep) parties.push({ uid: pep, subjects: ['workload'], own: {} });
  if (question.principal.type === typeName('Anonymous'))
    parties.push({ uid: question.principal, subjects: [], own: {} });
  return [...new Map(parties.toReversed().map((one) => [uidText(one.uid), one])).values()].reverse();
}

function party(type: string, id: string, subject: string): Party {
  return { uid: { type: typeName(type), id }, subjects: [subject], own: {} };
}

function workloadParty(workload: WorkloadIdentity): Party {
  const { trustDomain: trust_domain, namespace, serviceAccount } = workload;
  const own = {
    trust_domain,
    ...(namespace !== undefined && { namespace }),
    ...(serviceAccount !== undefined && { service_account: serviceAccount }),
  };
  return { ...party('Workload', workload.id, 'workload'), workload, own };
}

function userParty({ id, issuer, subject }: NonNullable<Recorded['user']>): Party {
  const own = { ...(issuer !== undefined && { issuer }), ...(subject !== undefined && { subject }) };
  return { ...party('User', id, 'user'), own, ...(issuer !== undefined && { issuer }) };
}

function assertedParty(uid: EntityUid, next: PolicySnapshot): Party {
  const subjects = subjectsOf({ uid, properties: {}, subjects: [] }, next.bindings);
  return { uid, subjects, asserted: true, own: {} };
}

/** The types of groups that a party may be in. */
export function groupTypesOf({ subjects }: Party): readonly string[] {
  return subjects.flatMap((subject) => GROUP_TYPES[subject] ?? []);
}

/** The entity that a value of the context refers to. */
export function uidIn(value: unknown): EntityUid | undefined {
  const uid = typeof value === 'object' && value !== null && '__entity' in value ? value.__entity : undefined;
  return uid as EntityUid | undefined;
}
