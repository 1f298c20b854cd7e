import { SUBJECT_KINDS, type SubjectKind } from '../../pdp/subject-key.ts';
import type { Parties } from './parties.ts';
import { type Rule, indexMembers, isPersonal } from './rule.ts';

/** Rules found by those whom they are about: a lookup costs a map get for each party of a question, however many rules there are. */
export class RuleIndex {
  readonly #rules = new Map<string, Rule>();
  readonly #byMember = new Map<SubjectKind, Map<string, readonly Rule[]>>();

  /** Rules held, those that have ended and were not pruned yet among them. */
  get size(): number {
    return this.#rules.size;
  }

  /** Takes a rule in, in the place of the one with its key. */
  put(rule: Rule): void {
    this.delete(rule.key);
    this.#rules.set(rule.key, rule);
    for (const { kind, id } of indexMembers(rule)) {
      const byId = this.#byMember.get(kind) ?? new Map<string, readonly Rule[]>();
      this.#byMember.set(kind, byId.set(id, [...(byId.get(id) ?? []), rule]));
    }
  }

  delete(key: string): void {
    const rule = this.#rules.get(key);
    if (!rule) return;
    this.#rules.delete(key);
    for (const { kind, id } of indexMembers(rule)) {
      const byId = this.#byMember.get(kind);
      const left = (byId?.get(id) ?? []).filter((other) => other.key !== key);
      if (left.length > 0) byId?.set(id, left);
      else byId?.delete(id);
    }
  }

  /** Drops what has ended at `now` (Unix ms). */
  prune(now: number): void {
    for (const { key, endsAt } of this.#rules.values()) if (endsAt <= now) this.delete(key);
  }

  /** The rules in force at `now` (Unix ms), in no order that means anything. */
  list(now: number): readonly Rule[] {
    return [...this.#rules.values()].filter(({ endsAt }) => endsAt > now);
  }

  /** A rule in force at `now` (Unix ms) that is about these parties and `counts`. */
  find(parties: Parties, now: number, counts: (rule: Rule) => boolean): Rule | undefined {
    for (const kind of SUBJECT_KINDS) {
      const byId = this.#byMember.get(kind);
      if (byId === undefined || byId.size === 0) continue;
      for (const id of parties(kind)) {
        const rule = byId.get(id)?.find((one) => one.endsAt > now && counts(one) && isAboutAll(one, parties));
        if (rule) return rule;
      }
    }
    return undefined;
  }
}

/** A member of a kind that the question says nothing about: where a rule is about persons, it may be the one that is meant. */
function isAboutAll(rule: Rule, parties: Parties): boolean {
  return rule.subjects.every(({ kind, id }) => {
    const ids = parties(kind);
    return ids.length === 0 ? isPersonal(rule) : ids.includes(id);
  });
}
