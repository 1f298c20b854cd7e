/** A fact as policies can read it: Cedar's JSON without null, floats or escapes (`__entity`, `__extn`). */
export type AttributeValue = string | number | boolean | readonly AttributeValue[] | AttributeRecord;

/** Facts by name. */
export interface AttributeRecord {
  readonly [name: string]: AttributeValue;
}

/**
 * What the facts of an information point are about: `user`, `device`, `workload` (the parties of a request), or the name that a
 * binding's `resource.pip` gives to the objects it is about.
 */
export type AttributeSubject = string;

/** What an information point knew about one subject. */
export interface AttributeAnswer {
  /** `absent`: the source answered that it does not know the subject. */
  readonly status: 'found' | 'absent';
  readonly attributes: AttributeRecord;
  /** Groups the subject belongs to; they become Cedar parents. */
  readonly groups: readonly string[];
  /** Unix ms at which the source observed the facts. */
  readonly observedAt: number;
  /** The source does not say when it observed: `observedAt` is when it was asked. */
  readonly assumed?: true;
  /** A security event said so: it holds until a later observation, whose time a source states, says otherwise. */
  readonly event?: true;
  /** Unix ms until which the facts may be used. */
  readonly freshUntil: number;
  /** The facts are past their freshness, and used because nothing newer is to be had or has come yet. */
  readonly stale?: true;
}

/**
 * What it means for an attribute that its source cannot answer, answers wrongly, or with what is too old: the check is denied; it goes on without
 * (missing is never false); or what was known last is used, within a bound, and beyond that, and where that is too old, the check is denied.
 */
export type OnFailure = 'deny' | 'omit' | 'last_known';

/**
 * Why what is known of an attribute, or what should be, is not used: it was observed longer ago than the schema's `@max_age`, its source
 * could not answer, or it is not of the declared type.
 */
export type LeftOut = 'too_old' | 'unavailable' | 'wrong_type';

/** {@link LeftOut} by attribute, `groups` among them; parts of records as `os.patched`. */
export interface LeftOutAttributes {
  readonly [attribute: string]: LeftOut;
}

/** An answer together with where it came from: what records and caches need. */
export interface AttributeFact extends AttributeAnswer {
  readonly source: string;
  /** What the source may give, whether it did or not. */
  readonly gives: readonly string[];
  readonly subject: AttributeSubject;
  readonly subjectId: string;
  /** What of the answer is not used. */
  readonly leftOut?: LeftOutAttributes;
  /** Why the source could not answer, where this is what it said last. */
  readonly failure?: string;
  /** What it means that there is no word of the source on an attribute; absent: there must be one. */
  readonly onFailure?: OnFailure;
  /** The same for single attributes. */
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
}

/** A source that could not answer, where its configuration says to go on without it. */
export interface AttributeOmission {
  readonly source: string;
  /** What the source may give. */
  readonly gives: readonly string[];
  readonly subject: AttributeSubject;
  readonly subjectId: string;
  readonly status: 'omitted';
  /** What policies can read of it, and miss. */
  readonly leftOut: LeftOutAttributes;
  /** Why it could not answer. */
  readonly detail: string;
}
