import type { AttributeSubject } from '../attribute.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { GROUP_TYPES, typeName } from '../entities.ts';
import { subjectsOf } from '../entity-question.ts';
import { canonicalIp } from '../ip-address.ts';
import type { PolicySnapshot } from '../policy-snapshot.ts';
import { actionOf } from '../route.ts';
import type { Authenticated } from '../trace.ts';
import { IP_FACTS, IP_SUBJECT } from './ip-facts.ts';
import type { Holder } from './reading.ts';

/** One whom sources may know something of. */
export interface KnownBy {
  readonly subjectId: string;
  readonly holder: Holder;
  /** Why nobody can be asked about it: its facts are as unknown as those of a source that is down. */
  readonly unaskable?: string;
}

/** Everybody in a question of whom sources with one subject may know something, each once as what it is. */
export function subjectsIn(
  authenticated: Authenticated,
  snapshot: PolicySnapshot,
  route: BindingMatch | undefined,
  subject: AttributeSubject,
): readonly KnownBy[] {
  const found: KnownBy[] = [];
  const add = (subjectId: string | undefined, type: string): void => {
    const holder = subjectId === undefined ? undefined : entityHolder(snapshot, type, subject);
    if (subjectId === undefined || !holder) return;
    const isIt = (one: KnownBy) => one.subjectId === subjectId && one.holder.shape === holder.shape;
    if (!found.some(isIt)) found.push({ subjectId, holder });
  };
  addParties(authenticated, snapshot, subject, add);
  if (route?.resource.pip === subject) add(route.resource.uid.id, route.resource.uid.type);
  const { asked } = authenticated;
  if (asked)
    for (const entity of [asked.subject, asked.resource]) {
      if (entity && subjectsOf(entity, snapshot.bindings).includes(subject))
        add(entity.uid.id, entity.uid.type);
    }
  if (subject === IP_SUBJECT) found.push(...addressesIn(authenticated, snapshot, route));
  return found;
}

function addParties(
  authenticated: Authenticated,
  { reads: { contextKeys } }: PolicySnapshot,
  subject: AttributeSubject,
  add: (subjectId: string | undefined, type: string) => void,
): void {
  const { identities, pep } = authenticated;
  if (subject === 'user') add(identities.user?.id, USER);
  else if (subject === 'device') add(identities.device?.id, DEVICE);
  else if (subject === 'workload') {
    add(identities.source?.id, WORKLOAD);
    // A policy that keeps a group of workloads out by `context.origin` means all that an information point knows to be in it.
    if (contextKeys.has('origin')) add(identities.origin?.id, WORKLOAD);
    if (contextKeys.has('pep')) add(pep.workload?.id, WORKLOAD);
  }
}

const USER = typeName('User');
const DEVICE = typeName('Device');
const WORKLOAD = typeName('Workload');

/** Worked out once for each snapshot, subject and type of entity that is in its schema. */
const HOLDERS = new WeakMap<PolicySnapshot, Partial<Record<AttributeSubject, Map<string, Holder>>>>();

function entityHolder(snapshot: PolicySnapshot, type: string, subject: AttributeSubject): Holder | undefined {
  let known = HOLDERS.get(snapshot);
  if (!known) HOLDERS.set(snapshot, (known = {}));
  const ofSubject = (known[subject] ??= new Map());
  let holder = ofSubject.get(type);
  if (holder !== undefined) return holder;
  const shape = snapshot.entityShape(type);
  if (!shape) return undefined;
  const groupType = GROUP_TYPES[subject];
  holder = { shape, names: snapshot.reads.attributes, ...(groupType !== undefined && { groupType }) };
  ofSubject.set(type, holder);
  return holder;
}

/** The address that policies know as `context.ip`, where they read what is known of it. */
function addressesIn(
  authenticated: Authenticated,
  snapshot: PolicySnapshot,
  route: BindingMatch | undefined,
): readonly KnownBy[] {
  const { contextKeys, wholeAttributes, attributes } = snapshot.reads;
  if (!contextKeys.has(IP_FACTS)) return [];
  const type = snapshot.contextShape(actionOf(authenticated, route))?.fields.get(IP_FACTS)?.type;
  if (type?.kind !== 'record') return [];
  const holder = { shape: type.shape, names: wholeAttributes.has(IP_FACTS) ? 'all' : attributes } as const;
  const subjectId = addressOf(authenticated);
  if (subjectId !== undefined) return [{ subjectId, holder }];
  // A question about entities need not be about an address; every request comes from one.
  return authenticated.asked
    ? []
    : [{ subjectId: '', holder, unaskable: 'the request does not say from which address it comes' }];
}

/** The address that a request came from, or that the asker says it did, in its one spelling. */
export function addressOf({ request, asked }: Pick<Authenticated, 'request' | 'asked'>): string | undefined {
  const ip = request ? request.source.ip : asked?.context['ip'];
  return typeof ip === 'string' ? canonicalIp(ip) : undefined;
}
