import { LRUCache } from 'lru-cache';
import { decisionKey } from '../../pdp/cache-key.ts';
import { PdpError } from '../../pdp/errors.ts';
import { type CedarRequest, type EntityUid, type Evaluation, uidText } from '../../pdp/evaluation.ts';
import { PolicyReadsIndex } from '../../pdp/policy-reads.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { uidOf } from '../read/question.ts';
import type { Unknown } from './unknown.ts';

/** What the new policies say to a question of which not everything is known. */
export type Settled =
  /** Whatever the unknown is, the answer is this. */
  | { readonly kind: 'settled'; readonly evaluation: Evaluation }
  /** It hangs on these; `verdicts` are those that it may come to. */
  | { readonly kind: 'open'; readonly unknowns: readonly Unknown[]; readonly verdicts: readonly Verdict[] }
  /** The engine took no question of it. */
  | { readonly kind: 'refused'; readonly reason: string };

type Verdict = Evaluation['verdict'];

const BOTH: readonly Verdict[] = ['permit', 'deny'];
const MEMO = 50_000;

/** Asks the new snapshot, and knows which of its policies what is unknown can matter to. */
export class Settling {
  readonly #next: PolicySnapshot;
  readonly #reads: PolicyReadsIndex;
  readonly #memo = new LRUCache<string, Evaluation>({ max: MEMO });
  readonly #scopes: readonly EntityUid[];

  constructor(next: PolicySnapshot) {
    this.#next = next;
    this.#reads = new PolicyReadsIndex(next);
    this.#scopes = scopeEntities(next);
  }

  /** The answer, as far as it can be told. */
  settle(request: CedarRequest, unknowns: readonly Unknown[]): Settled {
    const missing = unknowns.filter(({ required }) => required);
    if (missing.length > 0) return { kind: 'open', unknowns: missing, verdicts: BOTH };
    const candidates = this.#next.candidates(this.#withPossibleParents(request, unknowns));
    const unclear = new Map<string, readonly Unknown[]>();
    for (const id of unknowns.length === 0 ? [] : candidates) {
      const read = unknowns.filter((unknown) => unknown.isReadBy(this.#reads.of(id)));
      if (read.length > 0) unclear.set(id, read);
    }
    try {
      return this.#weigh(this.#evaluate(request, new Set(unclear.keys())), unclear);
    } catch (error) {
      if (error instanceof PdpError) return { kind: 'refused', reason: error.reason };
      throw error;
    }
  }

  /**
   * What policies that cannot be told of may still change. A `forbid` that applies settles the answer against whatever permits; the rest
   * hangs on what they would say.
   */
  #weigh(clear: Evaluation, unclear: ReadonlyMap<string, readonly Unknown[]>): Settled {
    if (unclear.size === 0) return { kind: 'settled', evaluation: clear };
    const effects = new Set([...unclear.keys()].map((id) => this.#next.notes(id).effect));
    const isForbidden =
      (clear.verdict === 'deny' && clear.policies.length > 0) || this.#hasBrokenForbid(clear);
    if (isForbidden && !effects.has('forbid')) return { kind: 'settled', evaluation: clear };
    const unknowns = [...new Map([...unclear.values()].flat().map((one) => [one.name, one])).values()];
    return { kind: 'open', unknowns, verdicts: verdictsOf(clear.verdict, isForbidden, effects) };
  }

  #hasBrokenForbid({ errors }: Evaluation): boolean {
    return errors.some((id) => this.#next.notes(id).effect === 'forbid');
  }

  #evaluate(request: CedarRequest, without: ReadonlySet<string>): Evaluation {
    const key = `${decisionKey(this.#next.digest, request)} ${[...without].sort().join(' ')}`;
    let evaluation = this.#memo.get(key);
    if (!evaluation) {
      evaluation = this.#next.evaluate(request, without.size > 0 ? without : undefined);
      this.#memo.set(key, evaluation);
    }
    return evaluation;
  }

  /** So that policies are found whose scope names what a party may be in. */
  #withPossibleParents(request: CedarRequest, unknowns: readonly Unknown[]): CedarRequest {
    const open = unknowns.flatMap(({ parents }) => parents ?? []);
    if (open.length === 0) return request;
    const entities = request.entities.map((entity) => {
      const unknown = open.filter(({ of }) => of === entity.uid.type);
      const possible = this.#scopes.filter(({ type }) => unknown.some(({ above }) => above.has(type)));
      return possible.length === 0 ? entity : { ...entity, parents: [...entity.parents, ...possible] };
    });
    return { ...request, entities };
  }
}

function verdictsOf(
  clear: Verdict,
  isForbidden: boolean,
  effects: ReadonlySet<'permit' | 'forbid'>,
): readonly Verdict[] {
  if (isForbidden) return ['deny'];
  if (clear === 'permit') return effects.has('forbid') ? BOTH : ['permit'];
  return effects.has('permit') ? BOTH : ['deny'];
}

/** Every entity that some policy's scope names. */
function scopeEntities(snapshot: PolicySnapshot): readonly EntityUid[] {
  const found = new Map<string, EntityUid>();
  for (const id of snapshot.policyIds) {
    const { principal, resource } = snapshot.policy(id).scope;
    for (const uid of [uidOf(principal), uidOf(resource)]) if (uid) found.set(uidText(uid), uid);
  }
  return [...found.values()];
}
