import { type Refusal, refuse } from '../decision.ts';
import type { AttributeFact, AttributeRecord, AttributeValue, LeftOutAttributes } from '../attribute.ts';
import { GROUP_TYPES, typeName } from '../entities.ts';
import type { EntityUid } from '../evaluation.ts';
import { isRecord } from '../external-json.ts';
import type { RecordShape } from '../policy-snapshot.ts';
import type { Informed } from '../trace.ts';
import { withoutAged } from './age.ts';
import { IP_SUBJECT } from './ip-facts.ts';
import { type Layer, isLeftOut, united, wordsByLayer } from './merge.ts';
import type { Names } from './value-type.ts';

/** What is known of one subject. */
export interface Known {
  readonly attributes: AttributeRecord;
  readonly groups: readonly EntityUid[];
}

const DEVICE = typeName('Device');
const NOTHING: AttributeRecord = {};
const NO_GROUPS: readonly EntityUid[] = [];
const NO_NAMES: ReadonlySet<string> = new Set();
/** What vendors say of a device stands by vendor: one that was heard later does not take back what another said. */
const BY_VENDOR: ReadonlySet<string> = new Set(['vendor']);

/** The facts of one check, merged by subject and without what is too old; remembers what it was asked for. */
export class Knowledge {
  readonly #facts: readonly AttributeFact[];
  readonly #snapshot: Informed['snapshot'];
  readonly #now: number;
  readonly #posture: Layer | undefined;
  #tooOld: Map<Layer, readonly string[]> | undefined;
  #validUntil = Number.POSITIVE_INFINITY;
  #refusal: Refusal | undefined;

  constructor({
    facts,
    snapshot,
    receivedAt,
    identities,
  }: Pick<Informed, 'facts' | 'snapshot' | 'receivedAt' | 'identities'>) {
    this.#facts = facts;
    this.#snapshot = snapshot;
    this.#now = receivedAt;
    const { posture, observedAt = 0 } = identities.device ?? {};
    this.#posture = posture && { attributes: posture, observedAt };
  }

  /** What sources with any of the subjects know of the entity; `posture`: and what was asserted of the device. */
  about(subjects: readonly string[], uid: EntityUid, posture = false): Known {
    const layers: Layer[] = posture && this.#posture ? [this.#posture] : [];
    let groups = NO_GROUPS;
    for (const fact of this.#facts) {
      if (fact.subjectId !== uid.id || !subjects.includes(fact.subject)) continue;
      layers.push(fact);
      const type = GROUP_TYPES[fact.subject];
      if (type !== undefined && fact.groups.length > 0 && !isLeftOut('groups', fact))
        groups = [...groups, ...fact.groups.map((id) => ({ type, id }))];
    }
    const shape = this.#snapshot.entityShape(uid.type);
    const byMember = uid.type === DEVICE ? BY_VENDOR : NO_NAMES;
    const attributes = shape
      ? this.#merged(layers, shape, this.#snapshot.reads.attributes, byMember)
      : NOTHING;
    return { attributes, groups };
  }

  /** What sources know of an address; `undefined`: nothing. */
  ofAddress(address: string, shape: RecordShape, names: Names): AttributeRecord | undefined {
    const layers = this.#facts.filter(
      ({ subject, subjectId }) => subject === IP_SUBJECT && subjectId === address,
    );
    const attributes = this.#merged(layers, shape, names);
    return Object.keys(attributes).length === 0 ? undefined : attributes;
  }

  /** Unix ms until which nothing that was told goes over its maximum age. */
  get validUntil(): number {
    return this.#validUntil;
  }

  /** Why the question cannot be put: what must be known is too old (`attribute_refused`). */
  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** The facts, with what was too old to be told. */
  facts(): readonly AttributeFact[] {
    const tooOld = this.#tooOld;
    if (!tooOld) return this.#facts;
    return this.#facts.map((fact) => {
      const paths = tooOld.get(fact);
      return paths ? { ...fact, leftOut: { ...fact.leftOut, ...asLeftOut(paths) } } : fact;
    });
  }

  /** What of the posture that was asserted was too old to be told. */
  postureLeftOut(): LeftOutAttributes | undefined {
    const paths = this.#posture && this.#tooOld?.get(this.#posture);
    return paths && asLeftOut(paths);
  }

  #merged(layers: readonly Layer[], shape: RecordShape, names: Names, byMember = NO_NAMES): AttributeRecord {
    const [only] = layers;
    if (!only) return NOTHING;
    if (layers.length === 1 && !only.leftOut) return this.#young(only, only.attributes, shape, names, layers);
    const words = wordsByLayer(layers, this.#now, byMember);
    return united(
      [...words].map(([layer, word]) => this.#young(layer, word, shape, names, layers)),
      byMember,
    );
  }

  /** What one of the layers has the word on, without what is too old of it. What a security event said does not age. */
  #young(
    layer: Layer,
    attributes: AttributeRecord,
    shape: RecordShape,
    names: Names,
    layers: readonly Layer[],
  ): AttributeRecord {
    if (!shape.ageing || layer.event) return attributes;
    const ageing = {
      observedAt: Math.min(layer.observedAt, this.#now),
      now: this.#now,
      reads: this.#snapshot.reads,
      tooOld: [],
      usableUntil: this.#validUntil,
    };
    const young = withoutAged('', attributes, shape, names, ageing);
    this.#validUntil = ageing.usableUntil;
    if (ageing.tooOld.length > 0) this.#noteTooOld(layer, ageing.tooOld, layers);
    return young;
  }

  /** The newest word is too old, so that those before it are as well: none of their sources may need it to be known. */
  #noteTooOld(layer: Layer, paths: readonly string[], layers: readonly Layer[]): void {
    (this.#tooOld ??= new Map<Layer, readonly string[]>()).set(layer, paths);
    for (const path of paths) {
      const needing = layers.find((one) => !one.event && mustBeKnown(one, path));
      if (needing) this.#refusal ??= tooOld(needing, path, this.#now);
    }
  }
}

function tooOld({ source, observedAt, failure }: Layer, path: string, now: number): Refusal {
  const age = Math.floor((now - observedAt) / 1000);
  const who = source ?? 'the device assertion';
  const words = `${who}: '${path}' was observed ${age} s ago, which is more than its @max_age, and must be known`;
  return refuse('attribute_refused', failure === undefined ? words : `${words}; ${failure}`);
}

/** Whether a layer says what a path leads to, and is not of a source that may fail without consequence. */
function mustBeKnown(layer: Layer, path: string): boolean {
  const { attributes, onFailure, onFailureOf } = layer;
  return Object.entries(attributes).some(
    ([name, value]) =>
      (onFailureOf?.get(name) ?? onFailure) !== 'omit' &&
      !isLeftOut(name, layer) &&
      leadsTo(name, value, path),
  );
}

/** Whether a path leads into a value by its name; within sets it has no steps. Names may hold dots themselves. */
function leadsTo(name: string, value: AttributeValue, path: string): boolean {
  if (name === path) return true;
  if (!path.startsWith(`${name}.`)) return false;
  const rest = path.slice(name.length + 1);
  return !isRecord(value) || Object.entries(value).some(([inner, part]) => leadsTo(inner, part, rest));
}

function asLeftOut(paths: readonly string[]): LeftOutAttributes {
  return Object.fromEntries(paths.map((path) => [path, 'too_old']));
}
