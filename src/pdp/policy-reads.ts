import { CedarChecker } from './cedar.ts';
import type { EntityUid } from './evaluation.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import { type ReadsCollector, collectReads, createReadsCollector } from './reads.ts';

/** What one policy can read, before what the schema and the static entities add to it: see `finishReads`. */
export type PolicyReads = Readonly<ReadsCollector>;

/** What each policy of a snapshot can read, worked out where it is asked for. */
export class PolicyReadsIndex {
  readonly #snapshot: PolicySnapshot;
  readonly #checker = new CedarChecker();
  readonly #known = new Map<string, PolicyReads>();

  constructor(snapshot: PolicySnapshot) {
    this.#snapshot = snapshot;
  }

  /** What a policy can read; throws a `TypeError` for an id that is not in the set. */
  of(id: string): PolicyReads {
    let reads = this.#known.get(id);
    if (!reads) this.#known.set(id, (reads = this.#collect(id)));
    return reads;
  }

  #collect(id: string): PolicyReads {
    const { text, link } = this.#snapshot.policy(id);
    const answer = link ? this.#checker.template(text) : this.#checker.policy(text);
    if ('complaints' in answer) throw new TypeError(`policy '${id}' of a valid set does not parse`);
    const reads = createReadsCollector();
    collectReads(answer.json, reads);
    for (const { type } of Object.values(link?.values ?? {}) as EntityUid[]) reads.entityTypes.add(type);
    return reads;
  }
}
