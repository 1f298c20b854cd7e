import type { AttributeRecord } from './attribute.ts';
import type { BindingTable } from './bindings/binding-table.ts';
import { typeName } from './entities.ts';
import type { EntityUid } from './evaluation.ts';
import type { HeaderFields } from './header-fields.ts';
import type { WorkloadIdentity } from './identity.ts';

/** An entity as a caller asserts it. What it is called is taken from the caller, what is known of it only where nobody else knows. */
export interface AssertedEntity {
  readonly uid: EntityUid;
  /** What the caller says about it; never goes before what an information point or the policy set is there to say. */
  readonly properties: AttributeRecord;
  /** Subjects of the information points that know entities of its type, beside those that bindings name. */
  readonly subjects: readonly string[];
  /** The reading of the id where the entity is a workload. */
  readonly workload?: WorkloadIdentity;
}

/** One question about subject, action and resource, as an application asks it (the AuthZEN information model). */
export interface EntityQuestion {
  /** The subject that the caller asserts; absent: the one that the credentials prove. */
  readonly subject?: AssertedEntity;
  /** Credentials of the subject, in the header fields that a request of its own would carry them in. */
  readonly credentials: HeaderFields;
  readonly action: EntityUid;
  readonly resource: AssertedEntity;
  /** What the caller says about the circumstances. */
  readonly context: AttributeRecord;
  /** What of all this only the caller says, by name (`subject`, `resource.status`), for the record. */
  readonly asserted: readonly string[];
}

/** The subjects of information points that every deployment has, by entity type. */
const PARTIES: ReadonlyMap<string, string> = new Map([
  [typeName('User'), 'user'],
  [typeName('Device'), 'device'],
  [typeName('Workload'), 'workload'],
]);

/** The subjects under which information points know an entity; a type that is known nowhere has none. */
export function subjectsOf({ uid, subjects }: AssertedEntity, bindings: BindingTable): readonly string[] {
  const party = PARTIES.get(uid.type);
  return [
    ...new Set([...(party === undefined ? [] : [party]), ...subjects, ...bindings.subjectsOf(uid.type)]),
  ];
}
