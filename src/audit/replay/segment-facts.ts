import { type DecisionRecord, parseRecord } from '../read/decision-record.ts';
import type { Pack } from '../read/pack.ts';
import { type Unanswerable, blobValue } from '../read/question.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { PolicyLibrary, RecordedPolicies } from './recorded-policies.ts';
import { type NotReplayable, type NotReplayableWhy, notReplayable } from './verdict.ts';

/**
 * What the pack of a segment holds for its lines. Each blob is looked at once: a record is replayable by what is in its own segment, whatever
 * other segments still have.
 */
export class SegmentFacts {
  readonly pack: Pack;
  readonly #library: PolicyLibrary;
  readonly #policies = new Map<string, RecordedPolicies | NotReplayable>();
  readonly #blobs = new Map<string, Looked>();

  constructor(pack: Pack, library: PolicyLibrary) {
    this.pack = pack;
    this.#library = library;
  }

  /** The policies that a record names. */
  policies(digest: string): RecordedPolicies | NotReplayable {
    let found = this.#policies.get(digest);
    if (found === undefined) {
      found = this.#read(digest);
      this.#policies.set(digest, found);
    }
    return found;
  }

  /** Why the question of a record cannot be put together; `undefined`: all that it refers to is there. */
  problemOf({ question, context, entities }: DecisionRecord): NotReplayable | undefined {
    if (typeof question === 'string') {
      const { problem, entities: apart = entities } = this.#blob(question);
      return problem ?? this.#firstProblem(apart);
    }
    const problem = typeof context === 'string' ? this.#blob(context).problem : undefined;
    return problem ?? this.#firstProblem(entities);
  }

  #firstProblem(digests: unknown): NotReplayable | undefined {
    for (const digest of Array.isArray(digests) ? digests : []) {
      const { problem } = this.#blob(String(digest));
      if (problem) return problem;
    }
    return undefined;
  }

  #read(digest: string): RecordedPolicies | NotReplayable {
    const payload = this.pack.get(digest);
    if (payload === undefined) return notReplayable('policies_missing', digest);
    if (parseRecord(payload)?.['kind'] === 'erased') return notReplayable('erased', digest);
    const policies = this.#library.of(payload);
    return policies?.digest === digest ? policies : notReplayable('policies_changed', digest);
  }

  #blob(digest: string): Looked {
    const known = this.#blobs.get(digest);
    if (known) return known;
    const blob = blobValue(digest, this.pack);
    const looked: Looked =
      'because' in blob
        ? { problem: notReplayable(whyOf(blob), digest) }
        : { entities: isRecord(blob.value) ? blob.value['entities'] : undefined };
    this.#blobs.set(digest, looked);
    return looked;
  }
}

/** What came of looking at a blob. */
interface Looked {
  readonly problem?: NotReplayable;
  /** Digests in a blob that is a question. */
  readonly entities?: unknown;
}

/** The same in replay's words. */
export function whyOf({ because }: Unanswerable): NotReplayableWhy {
  return because === 'no_inputs' ? 'inputs_missing' : because;
}
