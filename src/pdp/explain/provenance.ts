import type { AttributeFact, AttributeOmission, AttributeValue, LeftOut } from '../attribute.ts';
import { GROUP_TYPES, typeName } from '../entities.ts';
import type { CedarValue, EntityUid } from '../evaluation.ts';
import { IP_SUBJECT } from '../facts/ip-facts.ts';
import { type Layer, isLeftOut, mergeLayers } from '../facts/merge.ts';
import type { Identities } from '../identity.ts';
import type { ValueOrigin } from './request-values.ts';

/** Where a value came from. */
export interface Provenance {
  readonly source: string;
  /** Unix ms at which the source observed it; `undefined`: it did not say. */
  readonly observedAt: number | undefined;
  /** Past its freshness. */
  readonly stale?: true;
}

/** The entity types that the subjects of facts become. */
const SUBJECT_TYPES: { readonly [subject: string]: string } = {
  user: typeName('User'),
  device: typeName('Device'),
  workload: typeName('Workload'),
};

/** What provenance is read from. */
export interface ProvenanceParts {
  readonly facts: readonly AttributeFact[];
  readonly omissions?: readonly AttributeOmission[];
  readonly identities?: Partial<Identities>;
  /** What of the device's asserted posture was not used. */
  readonly postureLeftOut?: { readonly [attribute: string]: LeftOut };
}

const ASSERTION = 'signed device assertion';

/** Knows which information point gave which part of a request. */
export class Provenances {
  readonly #facts: readonly AttributeFact[];
  readonly #omissions: readonly AttributeOmission[];
  readonly #deviceId: string | undefined;
  readonly #posture: (Layer & { readonly observedAt: number }) | undefined;
  readonly #now: number;

  /** `now`: Unix ms. */
  constructor({ facts, omissions = [], identities = {}, postureLeftOut }: ProvenanceParts, now: number) {
    this.#facts = facts;
    this.#omissions = omissions;
    this.#now = now;
    const { device } = identities;
    this.#deviceId = device?.id;
    this.#posture = device?.posture && {
      attributes: device.posture,
      observedAt: device.observedAt ?? 0,
      ...(postureLeftOut && { leftOut: postureLeftOut }),
    };
  }

  /** The source of an entity's attribute. None where nothing that was asked gave this very value: tokens, static entities. */
  ofValue({ entity, names }: ValueOrigin, value: CedarValue): Provenance | undefined {
    const layers: Layer[] = [...this.#factsAbout(entity)];
    if (this.#posture && this.#isDevice(entity)) layers.unshift(this.#posture);
    const winner = mergeLayers(layers, this.#now).get(names[0] ?? '');
    if (!winner || !gives(winner.attributes, names, value)) return undefined;
    const { source = ASSERTION, stale } = winner as Partial<AttributeFact>;
    return { source, observedAt: winner.observedAt, ...(stale && { stale }) };
  }

  /** The source that put an entity into a group. */
  ofMembership(entity: EntityUid, group: EntityUid): Provenance | undefined {
    return this.#factsAbout(entity).find(
      (fact) =>
        GROUP_TYPES[fact.subject] === group.type &&
        fact.groups.includes(group.id) &&
        !isLeftOut('groups', fact),
    );
  }

  /** The sources that said that they do not know an entity. */
  absentAt(entity: EntityUid): readonly string[] {
    return this.#factsAbout(entity).flatMap(({ status, source }) => (status === 'absent' ? [source] : []));
  }

  /** The sources of whose word on an entity's attribute no use was made, and why. */
  leftOutAt({ entity, names }: ValueOrigin): readonly (readonly [source: string, why: LeftOut])[] {
    const omissions = this.#omissions.filter(({ subject, subjectId }) => isAbout(entity, subject, subjectId));
    const posture = this.#posture && this.#isDevice(entity) ? [{ ...this.#posture, source: ASSERTION }] : [];
    return [...posture, ...this.#factsAbout(entity), ...omissions].flatMap(({ source, leftOut = {} }) => {
      const why = leftOut[names[0] ?? ''] ?? leftOut[names.join('.')];
      return why === undefined ? [] : [[source, why] as const];
    });
  }

  #isDevice(entity: EntityUid): boolean {
    return this.#deviceId !== undefined && isAbout(entity, 'device', this.#deviceId);
  }

  #factsAbout(entity: EntityUid): readonly AttributeFact[] {
    return this.#facts.filter(({ subject, subjectId }) => isAbout(entity, subject, subjectId));
  }
}

function isAbout(entity: EntityUid, subject: string, subjectId: string): boolean {
  // One question has one address.
  if (entity.type === IP_SUBJECT || subject === IP_SUBJECT) return entity.type === subject;
  return entity.id === subjectId && entity.type === (SUBJECT_TYPES[subject] ?? entity.type);
}

function gives(attributes: AttributeValue | undefined, names: readonly string[], value: CedarValue): boolean {
  const given = names.reduce<AttributeValue | undefined>(
    (at, name) =>
      typeof at === 'object' && Object.hasOwn(at, name)
        ? (at as { readonly [name: string]: AttributeValue })[name]
        : undefined,
    attributes,
  );
  return given !== undefined && JSON.stringify(given) === JSON.stringify(value);
}

/** `4 s old`, rounded down; a source whose clock runs ahead is `0 ms old`. */
export function ageText(ageMs: number): string {
  const age = Math.max(0, Math.floor(ageMs));
  if (age < 1000) return `${age} ms old`;
  if (age < 120_000) return `${Math.floor(age / 1000)} s old`;
  if (age < 7_200_000) return `${Math.floor(age / 60_000)} min old`;
  return age < 172_800_000
    ? `${Math.floor(age / 3_600_000)} h old`
    : `${Math.floor(age / 86_400_000)} days old`;
}
