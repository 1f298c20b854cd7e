/** A reference to a Cedar entity. */
export interface EntityUid {
  readonly type: string;
  readonly id: string;
}

/** Cedar's JSON form of a value. */
export type CedarValue =
  | string
  | number
  | boolean
  | readonly CedarValue[]
  | { readonly __entity: EntityUid }
  | { readonly __extn: { readonly fn: string; readonly arg: string } }
  | { readonly [name: string]: CedarValue };

/** Cedar's JSON form of an entity. */
export interface CedarEntity {
  readonly uid: EntityUid;
  readonly attrs: { readonly [name: string]: CedarValue };
  readonly parents: readonly EntityUid[];
  readonly tags?: { readonly [name: string]: CedarValue };
}

/** One question in Cedar's terms. */
export interface CedarRequest {
  readonly principal: EntityUid;
  readonly action: EntityUid;
  readonly resource: EntityUid;
  readonly context: { readonly [name: string]: CedarValue };
  readonly entities: readonly CedarEntity[];
}

/** Cedar's answer, made deterministic: ids sorted, errors reduced to policy and class. */
export interface Evaluation {
  readonly verdict: 'permit' | 'deny';
  /** Determining policies, sorted. */
  readonly policies: readonly string[];
  /** Policies that could not be evaluated, sorted. Under strict handling a forbid among them has denied. */
  readonly errors: readonly string[];
}

/** `Type::"id"` as Cedar writes it. */
export function uidText(uid: EntityUid): string {
  return `${uid.type}::${JSON.stringify(uid.id)}`;
}
