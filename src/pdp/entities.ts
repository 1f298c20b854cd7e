import type { AttributeRecord, AttributeSubject } from './attribute.ts';
import { type CedarEntity, type CedarValue, type EntityUid, uidText } from './evaluation.ts';
import type { WorkloadIdentity } from './identity.ts';
import type { PolicySnapshot, Reads, RecordShape, ValueType } from './policy-snapshot.ts';

/** Names of the default namespace (docs/policies.md). */
export const NAMESPACE = 'ZeroTrust';

/** An entity type of the default namespace. */
export function typeName(name: string): string {
  return `${NAMESPACE}::${name}`;
}

/** The entity types that groups of a party become. Other subjects have no groups. */
export const GROUP_TYPES: { readonly [subject: AttributeSubject]: string } = {
  user: typeName('Group'),
  device: typeName('DeviceGroup'),
  workload: typeName('WorkloadGroup'),
};

/**
 * The entities of one request, reduced to what the snapshot's schema declares and its policies can read, completed by the
 * snapshot's static entities and their ancestors.
 */
export class EntityStore {
  readonly #snapshot: PolicySnapshot;
  readonly #entities = new Map<string, CedarEntity>();
  /** Uids of those that `add` was asked for: only these are settled, static data alone may still be completed. */
  readonly #added = new Set<string>();

  constructor(snapshot: PolicySnapshot) {
    this.#snapshot = snapshot;
    for (const uid of snapshot.literalEntities) this.#addStatic(uid);
  }

  /** Adds an entity; parents and attributes that the schema does not know are dropped. Returns its uid. */
  add(uid: EntityUid, attributes: AttributeRecord, parents: readonly EntityUid[]): EntityUid {
    const shape = this.#snapshot.entityShape(uid.type);
    const { reads } = this.#snapshot;
    const text = uidText(uid);
    if (!shape || this.#added.has(text)) return uid;
    this.#added.add(text);
    const fixed = this.#snapshot.staticEntity(text);
    const known = parents.filter((parent) => shape.parentTypes.has(parent.type) && this.#matters(parent));
    const entity: CedarEntity = {
      uid,
      // What was verified for this request wins over what was written into the policy set.
      attrs: { ...fixed?.attrs, ...fitRecord(attributes, shape, reads.attributes, reads) },
      parents: fixed ? uniqueUids([...fixed.parents, ...known]) : known,
      ...(fixed?.tags && { tags: fixed.tags }),
    };
    this.#entities.set(text, entity);
    this.#addReachable(entity);
    return uid;
  }

  /** All entities added, in order. */
  list(): CedarEntity[] {
    return [...this.#entities.values()];
  }

  #matters(parent: EntityUid): boolean {
    return (
      this.#snapshot.reads.entityTypes.has(parent.type) ||
      this.#snapshot.staticEntity(uidText(parent)) !== undefined
    );
  }

  #addStatic(uid: string): void {
    const entity = this.#snapshot.staticEntity(uid);
    if (!entity || this.#entities.has(uid)) return;
    this.#entities.set(uid, entity);
    this.#addReachable(entity);
  }

  /** Policies may follow parents and references into static entities that nothing else names. */
  #addReachable({ attrs, parents, tags }: CedarEntity): void {
    const references = [...parents, ...referencesIn(attrs), ...referencesIn(tags)];
    for (const reference of references) this.#addStatic(uidText(reference));
  }
}

/**
 * Keeps the fields that the shape declares and that it requires or policies read; `names` are the reads of the top level, `all`
 * where policies use the record as a whole.
 */
export function fitRecord(
  record: { readonly [name: string]: CedarValue | undefined },
  shape: RecordShape,
  names: ReadonlySet<string> | 'all',
  reads: Reads,
): { [name: string]: CedarValue } {
  const kept: { [name: string]: CedarValue } = {};
  for (const [name, { required, type }] of shape.fields) {
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    if (value === undefined || !(required || names === 'all' || names.has(name))) continue;
    kept[name] = names === 'all' ? fitValue(value, type, 'all', reads) : fitNamed(name, value, type, reads);
  }
  return kept;
}

/** The value of an attribute, reduced as {@link fitRecord} does: whole where policies use it whole, else what they read of it. */
export function fitNamed(name: string, value: CedarValue, type: ValueType, reads: Reads): CedarValue {
  return fitValue(value, type, reads.wholeAttributes.has(name) ? 'all' : reads.attributes, reads);
}

function fitValue(
  value: CedarValue,
  type: ValueType,
  names: ReadonlySet<string> | 'all',
  reads: Reads,
): CedarValue {
  if (type.kind === 'record') return isRecord(value) ? fitRecord(value, type.shape, names, reads) : value;
  if (type.kind !== 'set' || !Array.isArray(value) || !mayHoldRecords(type.element)) return value;
  // A set is compared by its members, each as a whole.
  return (value as readonly CedarValue[]).map((item) => fitValue(item, type.element, 'all', reads));
}

function mayHoldRecords({ kind }: ValueType): boolean {
  return kind === 'record' || kind === 'set';
}

function isRecord(value: CedarValue): value is { readonly [name: string]: CedarValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function uniqueUids(uids: readonly EntityUid[]): EntityUid[] {
  return [...new Map(uids.map((uid) => [uidText(uid), uid])).values()];
}

/** With a schema Cedar reads `{type, id}` as a reference too, so any such record is taken for one. */
function referencesIn(value: CedarValue | undefined): EntityUid[] {
  if (typeof value !== 'object') return [];
  const { type, id } = ('__entity' in value ? value['__entity'] : value) as { type?: unknown; id?: unknown };
  if (typeof type === 'string' && typeof id === 'string') return [{ type, id }];
  return Object.values(value).flatMap((item) => referencesIn(item));
}

/** Adds a workload with the namespace and trust domain that it is in. */
export function addWorkload(
  store: EntityStore,
  workload: WorkloadIdentity,
  facts: { readonly attributes: AttributeRecord; readonly groups: readonly EntityUid[] },
): EntityUid {
  const { id, trustDomain, namespace, serviceAccount } = workload;
  const parents: EntityUid[] = [{ type: typeName('TrustDomain'), id: trustDomain }, ...facts.groups];
  // The trust domain is part of the name: the same namespace elsewhere is another one.
  if (namespace !== undefined)
    parents.push({ type: typeName('Namespace'), id: `${trustDomain}/${namespace}` });
  const attributes = {
    ...facts.attributes,
    trust_domain: trustDomain,
    ...(namespace !== undefined && { namespace }),
    ...(serviceAccount !== undefined && { service_account: serviceAccount }),
  };
  return store.add({ type: typeName('Workload'), id }, attributes, parents);
}

/** Adds the endpoint of a request that met no binding, in its service. */
export function addEndpoint(
  store: EntityStore,
  { service, path, host }: { readonly service: string; readonly path: string; readonly host: string },
): EntityUid {
  const serviceUid = store.add({ type: typeName('Service'), id: service }, { host }, []);
  // Neither half can hold a space, so no two pairs share an id.
  return store.add({ type: typeName('Endpoint'), id: `${service} ${path}` }, { path, host }, [serviceUid]);
}
