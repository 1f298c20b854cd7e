import type { CedarEntity, CedarRequest, EntityUid, Evaluation } from './evaluation.ts';
import type { BindingTable } from './bindings/binding-table.ts';
import type { Distinctions } from './distinctions.ts';
import type { PolicyScope } from './scope-index.ts';
import type { SlotValues } from './template-links.ts';
import type { Advice, UpstreamHeader } from './decision.ts';
import type { PolicyTexts } from './policy-source.ts';

/** What a policy's annotations mean to us. */
export interface PolicyNotes {
  readonly effect: 'permit' | 'forbid';
  /** Public words for a deny that this policy determines, from `@reason`. */
  readonly reason?: string;
  /** Headers that a permit by this policy sets upstream, from `@upstream_headers`; names in lower case. */
  readonly upstreamHeaders?: readonly UpstreamHeader[];
  /** From `@advice` and its companions. */
  readonly advice?: Advice;
}

/** What the policies of a snapshot can read; other facts are neither fetched, nor sent to the engine, nor part of a cache key. */
export interface Reads {
  /** Top-level context keys. */
  readonly contextKeys: ReadonlySet<string>;
  /** Attribute names, of entities and records alike. */
  readonly attributes: ReadonlySet<string>;
  /** Attribute names that are read as a whole; of nested records with other names only the attributes read matter. */
  readonly wholeAttributes: ReadonlySet<string>;
  /** Entity types that are named anywhere; a type never named cannot be a matching ancestor. */
  readonly entityTypes: ReadonlySet<string>;
}

/** The declared attributes of a record, an entity type or an action's context. */
export interface RecordShape {
  readonly fields: ReadonlyMap<string, FieldShape>;
  /** Names of the fields that have a maximum age, or hold one that has; absent: there is none. */
  readonly ageing?: ReadonlySet<string>;
}

/** One declared attribute. */
export interface FieldShape {
  readonly required: boolean;
  readonly type: ValueType;
  /** What was observed longer ago than so many ms counts as missing; from `@max_age`. */
  readonly maxAgeMs?: number;
}

/** A declared type, with the names of types resolved. */
export type ValueType =
  | { readonly kind: 'string' | 'long' | 'bool' }
  | { readonly kind: 'set'; readonly element: ValueType }
  | { readonly kind: 'record'; readonly shape: RecordShape }
  /** `ids`: the only ones, where the entity type is an enumeration. */
  | { readonly kind: 'entity'; readonly type: string; readonly ids?: ReadonlySet<string> }
  /** `ipaddr`, `decimal`, `datetime` or `duration`. */
  | { readonly kind: 'extension'; readonly name: string };

/** A declared entity type. */
export interface EntityShape extends RecordShape {
  /** Types that its parents may have. */
  readonly parentTypes: ReadonlySet<string>;
  /** The only ids, where the type is an enumeration. */
  readonly ids?: ReadonlySet<string>;
}

/** One policy of a snapshot: a statement, or what a link made of a template. */
export interface PolicyEntry {
  readonly id: string;
  /** The statement as it was written; the template's where the policy is a link. */
  readonly text: string;
  readonly file: string;
  /** Where `text` begins in the file, in UTF-16 units. */
  readonly offset: number;
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
  readonly notes: PolicyNotes;
  readonly scope: PolicyScope;
  readonly distinctions: Distinctions;
  readonly link?: { readonly template: string; readonly values: SlotValues };
}

/** An immutable, validated, content-addressed policy set that is ready to evaluate. */
export interface PolicySnapshot {
  /** `sha256:<hex>` over policies, schema and static entities. */
  readonly digest: string;
  /** Unix ms. */
  readonly loadedAt: number;
  /** The schema in Cedar's syntax. */
  readonly schema: string;
  /** What it was made of: enough to make it again. */
  readonly texts: PolicyTexts;
  /** Ids of the policies, sorted. */
  readonly policyIds: readonly string[];
  readonly reads: Reads;
  /** Uids (`Type::"id"`) of static entities whose own data policies read by naming them. */
  readonly literalEntities: readonly string[];
  /** A policy; throws a `TypeError` for an id that is not in the set. */
  policy(id: string): PolicyEntry;
  /** Ids of the policies whose scope can match; the others can neither decide nor err. */
  candidates(request: CedarRequest): readonly string[];
  /** Questions that between them need the policies that the engine was last asked for, reduced to what scopes look at; a few dozen at most. */
  typicalQuestions(): readonly CedarRequest[];
  /** Has the engine load the policies that a question needs. Never throws: where that fails, a question that needs them tells. */
  prepare(question: CedarRequest): void;
  /** Notes of a policy; throws a `TypeError` for an id that is not in the set. */
  notes(id: string): PolicyNotes;
  /** How routes map to the application's own actions and objects. */
  readonly bindings: BindingTable;
  /** Names of all headers that some policy may set upstream, in lower case. */
  readonly upstreamHeaders: readonly string[];
  /** Whether the schema lets principals of the type do the action at all. */
  appliesTo(action: EntityUid, principalType: string): boolean;
  /** The context that the schema declares for an action; `undefined`: no such action, or it applies to nothing. */
  contextShape(action: EntityUid): RecordShape | undefined;
  /** The declared shape of an entity type; `undefined`: no such type. */
  entityShape(type: string): EntityShape | undefined;
  /** Static entity data by `Type::"id"`. */
  staticEntity(uid: string): CedarEntity | undefined;
  /** Ids of the static entities of a type, in the order of their code units. */
  staticIds(type: string): readonly string[];
  /** The actions that apply to a principal and a resource of these types. */
  actionsFor(principalType: string, resourceType: string): readonly EntityUid[];
  /**
   * What its policies can tell of a question: where that is the same JSON, so is the evaluation. `undefined`: no less than the whole question.
   */
  likeness(request: CedarRequest): readonly unknown[] | undefined;
  /**
   * Asks the engine, all policies or all but those `without` which it is to be answered. Throws `PdpError`: `engine_fault` where the engine
   * broke, `attribute_refused` where it refused the data.
   */
  evaluate(request: CedarRequest, without?: ReadonlySet<string>): Evaluation;
}
