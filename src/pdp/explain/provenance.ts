import type { AttributeFact, AttributeValue } from '../attribute.ts';
import { GROUP_TYPES, typeName } from '../entities.ts';
import type { CedarValue, EntityUid } from '../evaluation.ts';
import type { Identities } from '../identity.ts';
import type { ValueOrigin } from './request-values.ts';

/** Where a value came from. */
export interface Provenance {
  readonly source: string;
  /** Unix ms at which the source observed it; `undefined`: it did not say. */
  readonly observedAt: number | undefined;
}

/** The entity types that the subjects of facts become. */
const SUBJECT_TYPES: { readonly [subject: string]: string } = {
  user: typeName('User'),
  device: typeName('Device'),
  workload: typeName('Workload'),
};

/** Knows which information point gave which part of a request. */
export class Provenances {
  readonly #facts: readonly AttributeFact[];
  readonly #identities: Partial<Identities>;

  constructor(facts: readonly AttributeFact[], identities: Partial<Identities> = {}) {
    this.#facts = facts;
    this.#identities = identities;
  }

  /** The source of an entity's attribute. None where nothing that was asked gave this very value: tokens, static entities. */
  ofValue({ entity, names }: ValueOrigin, value: CedarValue): Provenance | undefined {
    const { device } = this.#identities;
    if (device && isAbout(entity, 'device', device.id) && gives(device.posture, names, value)) {
      return { source: 'signed device assertion', observedAt: device.observedAt };
    }
    // Of two sources that give an attribute, the first wins (entities.ts).
    return this.#factsAbout(entity).find(({ attributes }) => gives(attributes, names, value));
  }

  /** The source that put an entity into a group. */
  ofMembership(entity: EntityUid, group: EntityUid): Provenance | undefined {
    return this.#factsAbout(entity).find(
      ({ subject, groups }) => GROUP_TYPES[subject] === group.type && groups.includes(group.id),
    );
  }

  /** The sources that said that they do not know an entity. */
  absentAt(entity: EntityUid): readonly string[] {
    return this.#factsAbout(entity).flatMap(({ status, source }) => (status === 'absent' ? [source] : []));
  }

  #factsAbout(entity: EntityUid): readonly AttributeFact[] {
    return this.#facts.filter(({ subject, subjectId }) => isAbout(entity, subject, subjectId));
  }
}

function isAbout(entity: EntityUid, subject: string, subjectId: string): boolean {
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
