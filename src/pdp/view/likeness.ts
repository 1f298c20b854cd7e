import { type SliceDistinctions, type TextPattern, isLike } from '../distinctions.ts';
import { type CedarRequest, type EntityUid, uidText } from '../evaluation.ts';
import type { ValueType } from '../policy-snapshot.ts';
import { conforms, isPlain, isText, isUid, uidIn } from './conforms.ts';
import type { FieldPlan, QuestionPlan, RecordPlan } from './plan.ts';

/**
 * What the policies of a slice can tell of a question that was narrowed by the same plan: two questions of which this is the same JSON have the
 * same evaluation. `undefined`: nothing less than the question itself.
 *
 * Entities that no policy names are numbered as they occur: Cedar compares ids, and nothing else, so the answer is the same whatever they are.
 * Texts that are only compared become what the comparisons come to. What no policy of the slice reads is only there or not.
 */
export function likenessOf(
  request: CedarRequest,
  plan: QuestionPlan,
  distinctions: SliceDistinctions,
): unknown[] | undefined {
  return new Likeness(plan, distinctions).of(request);
}

/** An entity: its type, and its id or, where no policy names it, its number. */
type Reference = readonly [type: string, id: string | number];

class Likeness {
  readonly #plan: QuestionPlan;
  readonly #distinctions: SliceDistinctions;
  readonly #numbers = new Map<string, number>();
  readonly #occurrences = new Map<string, number>();
  /** Something is not as the plan has it: what the engine would say of that is its own affair. */
  #isOdd = false;

  constructor(plan: QuestionPlan, distinctions: SliceDistinctions) {
    this.#plan = plan;
    this.#distinctions = distinctions;
  }

  of({ principal, action, resource, context, entities }: CedarRequest): unknown[] | undefined {
    const parents = entities.map((entity) => this.#known(entity.parents, entity.uid.type));
    const told = [
      this.#reference(principal),
      action,
      this.#reference(resource),
      this.#record(context, this.#plan.context),
      entities.map(({ uid, attrs }) => [this.#reference(uid), this.#attributes(uid.type, attrs)]),
    ];
    // Last, since only now it is known how often each occurs.
    told.push(parents.map((known) => this.#parents(known)));
    return this.#isOdd ? undefined : told;
  }

  #attributes(type: string, attrs: object): unknown {
    const plan = this.#plan.entities.get(type);
    return plan ? this.#record(attrs, plan) : this.#odd();
  }

  #record(record: object, { fields }: RecordPlan): unknown {
    const told: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(record)) {
      const field = fields.get(name);
      told[name] = field ? this.#field(name, value, field) : this.#odd();
    }
    return told;
  }

  #field(name: string, value: unknown, { type, parts }: FieldPlan): unknown {
    if (parts) return isPlain(value) ? this.#record(value, parts) : this.#odd();
    const use = this.#distinctions.uses.get(name) ?? [];
    if (use === 'any') return this.#value(value, type);
    return conforms(value, type) ? use.map((pattern) => Number(matches(value, pattern))) : this.#odd();
  }

  #value(value: unknown, type: ValueType): unknown {
    switch (type.kind) {
      case 'entity':
        return this.#reference(uidIn(value));
      case 'set':
        return Array.isArray(value) ? value.map((item) => this.#value(item, type.element)) : this.#odd();
      case 'record':
        return isPlain(value) ? this.#whole(value, type.shape.fields) : this.#odd();
      default:
        return value;
    }
  }

  #whole(
    record: { readonly [name: string]: unknown },
    fields: ReadonlyMap<string, { readonly type: ValueType }>,
  ): unknown {
    const told: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(record)) {
      const field = fields.get(name);
      told[name] = field ? this.#value(value, field.type) : this.#odd();
    }
    return told;
  }

  #reference(uid: EntityUid | undefined): Reference | undefined {
    if (!uid || !this.#isPlanned(uid)) return this.#odd();
    const text = uidText(uid);
    this.#count(text);
    if (this.#isNamed(text, uid.type)) return [uid.type, uid.id];
    let number = this.#numbers.get(text);
    if (number === undefined) this.#numbers.set(text, (number = this.#numbers.size));
    return [uid.type, number];
  }

  /** Of other types, those of actions among them, the engine may know more than the question says. */
  #isPlanned(uid: EntityUid): boolean {
    return isUid(uid) && isText(uid.id) && this.#plan.entities.has(uid.type);
  }

  #isNamed(text: string, type: string): boolean {
    return this.#distinctions.named.has(text) || this.#plan.entities.get(type)?.ids !== undefined;
  }

  #count(text: string): void {
    this.#occurrences.set(text, (this.#occurrences.get(text) ?? 0) + 1);
  }

  #known(parents: readonly EntityUid[], child: string): readonly EntityUid[] {
    const allowed = this.#plan.entities.get(child)?.parentTypes ?? [];
    for (const parent of parents) {
      if (!this.#isPlanned(parent) || !allowed.includes(parent.type)) this.#odd();
      else this.#count(uidText(parent));
    }
    return parents;
  }

  /** A parent that is not named and occurs nowhere else has nothing that a policy could ask by. */
  #parents(parents: readonly EntityUid[]): unknown {
    if (this.#isOdd) return undefined;
    const told = parents.filter((parent) => {
      const text = uidText(parent);
      return this.#isNamed(text, parent.type) || (this.#occurrences.get(text) ?? 0) > 1;
    });
    // Cedar's parents are a set.
    return told.map((parent) => this.#reference(parent)).toSorted(byText);
  }

  #odd(): undefined {
    this.#isOdd = true;
    return undefined;
  }
}

function byText(one: Reference | undefined, other: Reference | undefined): number {
  const [a, b] = [String(one), String(other)];
  return a < b ? -1 : Number(a > b);
}

/** What is no text and no set of texts is compared with none: strict validation sees to that. */
function matches(value: unknown, pattern: TextPattern): boolean {
  if (Array.isArray(value)) return pattern.length === 1 && value.includes(pattern[0]);
  return typeof value === 'string' && isLike(value, pattern);
}
