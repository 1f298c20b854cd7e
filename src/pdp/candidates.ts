import { type AssertedEntity, subjectsOf } from './entity-question.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { AttributeSource } from './ports.ts';

/** Which of the candidates are wanted. */
export interface CandidateRange {
  /** Only ids behind this one, in the order of their code units; '' is behind none. */
  readonly after: string;
  /** No more than the first so many. */
  readonly max: number;
}

/** Whom or what a search looks at. */
export interface Candidates {
  /** In the order of their code units, so that pages follow one another. */
  readonly ids: readonly string[];
  /** Whether there are more behind the last one. */
  readonly more: boolean;
  /** Information points that know entities of the type and cannot list them. */
  readonly unlisted: readonly string[];
}

/** The entities of a type that are known by name: the static ones, and those that information points can list. */
export function candidatesOf(
  entity: AssertedEntity,
  snapshot: PolicySnapshot,
  sources: readonly AttributeSource[],
  range: CandidateRange,
): Candidates {
  const first = new FirstIds(range);
  const unlisted: string[] = [];
  for (const id of snapshot.staticIds(entity.uid.type)) first.add(id);
  const subjects = subjectsOf(entity, snapshot.bindings);
  for (const source of sources.filter(({ subject, quiet }) => subjects.includes(subject) && !quiet)) {
    if (source.list) for (const id of source.list()) first.add(id);
    else unlisted.push(source.name);
  }
  return { ...first.taken(), unlisted };
}

/** The first few of many ids, each once: a page must not cost what sorting a million ids does. */
class FirstIds {
  readonly #range: CandidateRange;
  #ids: string[] = [];
  /** The last id that was kept when others behind it were let go. */
  #last: string | undefined;

  constructor(range: CandidateRange) {
    this.#range = range;
  }

  add(id: string): void {
    if (id <= this.#range.after || (this.#last !== undefined && id > this.#last)) return;
    this.#ids.push(id);
    if (this.#ids.length >= 8 * this.#range.max) this.#trim();
  }

  taken(): Pick<Candidates, 'ids' | 'more'> {
    this.#trim();
    return { ids: this.#ids, more: this.#last !== undefined };
  }

  #trim(): void {
    const all = [...new Set(this.#ids)].sort();
    this.#ids = all.slice(0, this.#range.max);
    if (all.length > this.#ids.length) this.#last = this.#ids.at(-1);
  }
}
