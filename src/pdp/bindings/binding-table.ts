import type { AttributeValue } from '../attribute.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import type { EntityUid } from '../evaluation.ts';
import type { Binding, BindingFacts, BindingMatch, UidTemplate } from './binding.ts';
import { type Trie, buildTrie, findBinding } from './trie.ts';
import { type ValueTemplate, fillTemplate } from './value-template.ts';

/** The bindings of a snapshot. Its bindings come from `readBindings`, which has refused all that could be read in two ways. */
export class BindingTable {
  readonly #trie: Trie;
  readonly #byId: ReadonlyMap<string, Binding>;
  /** Ids of the bindings, sorted. */
  readonly ids: readonly string[];
  /** Ids of the bindings in observe mode, sorted. */
  readonly observed: readonly string[];
  /** Subjects of information points that some binding's object is looked up under, sorted. */
  readonly subjects: readonly string[];
  /** Names of the headers that some binding has a condition on, in lower case. */
  readonly headers: ReadonlySet<string>;
  readonly #subjectsByType = new Map<string, Set<string>>();

  constructor(bindings: readonly Binding[]) {
    this.#trie = buildTrie(bindings);
    this.#byId = new Map(bindings.map((binding) => [binding.id, binding]));
    this.ids = bindings.map(({ id }) => id).sort();
    this.observed = bindings
      .filter(({ observe }) => observe)
      .map(({ id }) => id)
      .sort();
    this.subjects = [...new Set(bindings.flatMap(({ pip }) => pip ?? []))].sort();
    for (const { pip, resource } of bindings) {
      if (pip === undefined) continue;
      const known = this.#subjectsByType.get(resource.type);
      if (known) known.add(pip);
      else this.#subjectsByType.set(resource.type, new Set([pip]));
    }
    const conditions = bindings.flatMap((binding) => binding.conditions);
    this.headers = new Set(conditions.filter(({ fact }) => fact === 'header').map(({ name }) => name));
  }

  /** How many bindings there are. */
  get size(): number {
    return this.ids.length;
  }

  /** Subjects of information points that some binding looks objects of an entity type up under. */
  subjectsOf(type: string): Iterable<string> {
    return this.#subjectsByType.get(type) ?? [];
  }

  /**
   * The most specific binding that a request meets (`isMoreSpecific`), filled with what its path captures. `undefined`: none.
   * A refusal where the request cannot be read in one way: `path_ambiguous` for a capture that does not decode to plain text,
   * `header_ambiguous` for several values of a header that decides, `request_malformed` for an empty id.
   */
  match(facts: BindingFacts): BindingMatch | Refusal | undefined {
    const segments = facts.path.slice(1).split('/');
    const binding = findBinding(this.#trie, segments, facts);
    return binding === undefined || isRefusal(binding) ? binding : fill(binding, segments);
  }

  /**
   * A binding that a request is known to have met, filled with what its canonical path captures. `undefined`: there is none with the id.
   * Refusals as those of `match` for captures.
   */
  filled(id: string, path: string): BindingMatch | Refusal | undefined {
    const binding = this.#byId.get(id);
    return binding && fill(binding, path.slice(1).split('/'));
  }
}

function fill(binding: Binding, segments: readonly string[]): BindingMatch | Refusal {
  const uid = fillUid(binding.resource, segments);
  if (isRefusal(uid)) return uid;
  const attributes: { [name: string]: AttributeValue } = {};
  for (const [name, template] of binding.attributes) {
    const value = isTemplate(template) ? fillTemplate(template, segments) : template;
    if (isRefused(value)) return value;
    attributes[name] = value;
  }
  const parents: EntityUid[] = [];
  for (const template of binding.parents) {
    const parent = fillUid(template, segments);
    if (isRefusal(parent)) return parent;
    parents.push(parent);
  }
  const { id, action, observe, pip } = binding;
  return { id, action, resource: { uid, attributes, parents, ...(pip !== undefined && { pip }) }, observe };
}

function fillUid({ type, id: template }: UidTemplate, segments: readonly string[]): EntityUid | Refusal {
  const id = fillTemplate(template, segments);
  if (typeof id !== 'string') return id;
  return id === '' ? refuse('request_malformed', `the id of the ${type} is empty`) : { type, id };
}

function isTemplate(value: ValueTemplate | AttributeValue): value is ValueTemplate {
  // Attributes are scalars or lists of them, so the one kind of record is a template.
  return typeof value === 'object' && !Array.isArray(value);
}

function isRefused(value: AttributeValue | Refusal): value is Refusal {
  return typeof value === 'object' && isRefusal(value);
}
