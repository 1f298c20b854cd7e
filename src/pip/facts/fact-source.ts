import type { AttributeRecord, AttributeSubject } from '../../pdp/attribute.ts';

/** What a source outside of this process said about one subject. */
export interface FetchedFacts {
  /** `absent`: the source answered that it does not know the subject. */
  readonly status: 'found' | 'absent';
  readonly attributes: AttributeRecord;
  readonly groups: readonly string[];
  /** Unix ms at which the source says that it observed the facts; absent where it does not say. */
  readonly observedAt?: number;
  /** Ms for which the source itself says that the answer may be used; it can only shorten what is configured. */
  readonly freshMs?: number;
  /** By which the source can tell that nothing has changed (an entity tag, RFC 9110 §8.8.3). */
  readonly validator?: string;
}

/** A source outside of this process: it asks, and nothing else. What stands around it keeps it from doing harm (`remote.ts`). */
export interface FactSource extends AsyncDisposable {
  readonly name: string;
  readonly subject: AttributeSubject;
  /** Attribute names that it may give, `groups` among them. */
  readonly gives: readonly string[];
  /**
   * What can be said of a subject without asking: `absent` where it is none of the source's; `undefined` where it has to be asked. Throws
   * `NotAskedError` for an id that it cannot be asked about. Not there: about everybody it has to be.
   */
  unasked?(subjectId: string): FetchedFacts | undefined;
  /**
   * Asks once. Rejects with `PdpError` `attribute_unavailable` (`WrongAnswerError` for an answer that cannot be used), or with `signal`'s
   * reason. `previous`: the last answer, returned as it is where the source says that it still holds.
   */
  fetch(subjectId: string, signal: AbortSignal, previous?: FetchedFacts): Promise<FetchedFacts>;
}
