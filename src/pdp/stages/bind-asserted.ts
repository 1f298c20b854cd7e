import type { AttributeRecord } from '../attribute.ts';
import { type Refusal, refuse } from '../decision.ts';
import { type EntityStore, addWorkload, typeName } from '../entities.ts';
import { type AssertedEntity, subjectsOf } from '../entity-question.ts';
import { type CedarEntity, type CedarValue, type EntityUid, uidText } from '../evaluation.ts';
import type { Knowledge } from '../facts/knowledge.ts';
import { canonicalIp } from '../ip-address.ts';
import type { Information } from '../trace.ts';

type ContextValues = { readonly [name: string]: CedarValue | undefined };

/** What the entities of a question are put together with. */
export interface Parts {
  readonly store: EntityStore;
  readonly knowledge: Knowledge;
}

/** What is said, without what the policy set or an information point is there to say; not even where that does not answer. */
export function withoutKnown(
  said: AttributeRecord,
  fixed: CedarEntity | undefined,
  asked: readonly { readonly gives: readonly string[] }[],
): AttributeRecord {
  const known = new Set([...Object.keys(fixed?.attrs ?? {}), ...asked.flatMap(({ gives }) => gives)]);
  return Object.fromEntries(Object.entries(said).filter(([name]) => !known.has(name)));
}

/** Adds an entity that a caller asserts, with what information points know of it before what the caller says. */
export function addAsserted(
  entity: AssertedEntity,
  { facts, omissions, snapshot }: Information,
  { store, knowledge }: Parts,
): EntityUid {
  const { uid, properties, workload } = entity;
  const subjects = subjectsOf(entity, snapshot.bindings);
  const about = [...facts, ...omissions].filter(
    ({ subject, subjectId }) => subjectId === uid.id && subjects.includes(subject),
  );
  const said = withoutKnown(properties, snapshot.staticEntity(uidText(uid)), about);
  const known = knowledge.about(subjects, uid);
  const { groups } = known;
  const attributes: AttributeRecord = { ...said, ...known.attributes };
  if (workload) return addWorkload(store, workload, { attributes, groups });
  if (uid.type === typeName('Endpoint')) return addAssertedEndpoint(uid, attributes, store);
  return store.add(uid, { ...attributes, ...partsOfUserId(uid) }, groups);
}

/** An endpoint is in the service that its id names: `<service> <path>`, and neither half can hold a space. */
function addAssertedEndpoint(uid: EntityUid, attributes: AttributeRecord, store: EntityStore): EntityUid {
  const [service = '', path = ''] = uid.id.split(' ');
  const { host } = attributes;
  const known = host === undefined ? {} : { host };
  const serviceUid = store.add({ type: typeName('Service'), id: service }, known, []);
  return store.add(uid, { ...known, path }, [serviceUid]);
}

/** What the id of a user says: `<issuer name>/<sub>`, and no name of an issuer holds a '/'. */
function partsOfUserId({ type, id }: EntityUid): AttributeRecord {
  const slash = id.indexOf('/');
  if (type !== typeName('User') || slash === -1) return {};
  return { issuer: id.slice(0, slash), subject: id.slice(slash + 1) };
}

/**
 * What a caller says about the circumstances. The parties and the clock are nobody's to assert: `request_malformed` for a key that is
 * theirs, whether or not it has a value in this question, and for an address that is none.
 */
export function saidContext(
  said: AttributeRecord,
  parties: ContextValues,
): { readonly values: ContextValues } | Refusal {
  for (const name of Object.keys(said)) {
    if (Object.hasOwn(parties, name))
      return refuse('request_malformed', `context.${name} cannot be asserted`);
  }
  if (said['ip'] === undefined) return { values: said };
  const ip = typeof said['ip'] === 'string' ? canonicalIp(said['ip']) : undefined;
  return ip === undefined
    ? refuse('request_malformed', 'context.ip is not an IP address')
    : { values: { ...said, ip } };
}
