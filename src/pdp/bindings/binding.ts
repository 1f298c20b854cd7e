import type { AttributeRecord, AttributeValue } from '../attribute.ts';
import type { Problem } from '../errors.ts';
import type { EntityUid } from '../evaluation.ts';
import type { Condition } from './conditions.ts';
import type { PathPattern } from './path-pattern.ts';
import type { ValueTemplate } from './value-template.ts';

/** What a request must show to be matched to a binding. Every value is the canonical one (`CanonicalRequest`). */
export interface BindingFacts {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  /** SPIFFE ID of the destination; `undefined`: the PEP names none. */
  readonly service: string | undefined;
  /** All values of a header in order of arrival; `name` in lower case. */
  header(name: string): readonly string[];
  /** A context extension of the PEP. */
  extension(name: string): string | undefined;
}

/** The object that a matched request is about. */
export interface BoundResource {
  readonly uid: EntityUid;
  readonly attributes: AttributeRecord;
  readonly parents: readonly EntityUid[];
  /** Subject name of the information points to ask about this object; absent: none. */
  readonly pip?: string;
}

/** A request in the application's own words. */
export interface BindingMatch {
  /** Id of the binding. */
  readonly id: string;
  readonly action: EntityUid;
  readonly resource: BoundResource;
  /** The route is in observe mode: a deny is recorded but not enforced. */
  readonly observe: boolean;
}

/** An entity reference whose id may hold captures. */
export interface UidTemplate {
  readonly type: string;
  readonly id: ValueTemplate;
}

/** One binding as it was read and checked. */
export interface Binding {
  readonly id: string;
  /** Where its `match` stands. */
  readonly position: Required<Omit<Problem, 'message'>>;
  readonly pattern: PathPattern;
  /** By fact in the order of `CONDITION_FACTS`, then by name. */
  readonly conditions: readonly Condition[];
  readonly action: EntityUid;
  readonly resource: UidTemplate;
  readonly attributes: readonly (readonly [name: string, value: ValueTemplate | AttributeValue])[];
  readonly parents: readonly UidTemplate[];
  readonly pip?: string;
  readonly observe: boolean;
}
