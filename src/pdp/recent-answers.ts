import { LRUCache } from 'lru-cache';
import type { AccessRequest } from './access-request.ts';
import type { Decision, Refusal } from './decision.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { DecisionTrace, Evaluated, Received } from './trace.ts';

/** What tells one question from another. */
export interface QuestionFingerprint {
  /** Equal for equal questions, and for no others. */
  readonly key: string;
  /** A checksum of the key, by which it is looked up: a `Map` would go through all of a long key byte by byte. */
  readonly sum: number;
}

/** An answer from the cache, with all that it was made of. Who prepares something of it may keep that by this object. */
export interface RecentAnswer extends Pick<Received, 'request' | 'canonical'> {
  readonly evaluated: Evaluated;
  readonly decision: Decision;
  /** Id of the decision that was evaluated. */
  readonly of: string;
  /** Unix ms of the evaluation. */
  readonly evaluatedAt: number;
}

/** A question that was asked before, and how to read it again where its answer is not good any more. */
export interface Recalled {
  readonly answer: RecentAnswer;
  decode(): AccessRequest | Refusal;
}

/** What is kept of a question. Of two whose keys have the same checksum only the later one is. */
interface Entry {
  readonly key: string;
  readonly answer: RecentAnswer;
}

/** Rough cost of an answer apart from what grows with the question: identities, facts, and what is prepared of it. */
const ENTRY_BYTES = 8 * 1024;

/** The key, the request, lines of the log and the bytes of the answer: how many times the question. */
const TIMES = 6;

/** The question in Cedar's terms, which may hold far more than was asked (groups, facts): how many times its text. */
const TERMS_TIMES = 3;

/**
 * Remembers whole answers by the fingerprint of the question, so that what only depends on the question is worked out once: its reading, the
 * question in Cedar's terms, the evaluation, the decision. It holds only answers that came from the decision cache.
 *
 * Nothing that can change is taken from here: who asks is authenticated again, information points are asked again, and only where all of
 * that is the very same, under the same snapshot and before anything went stale, is the answer the same too (ADR 0026).
 */
export class RecentAnswers {
  readonly #answers: LRUCache<number, Entry> | undefined;
  readonly #incidental: ReadonlySet<string>;
  readonly #readLater: () => ReadonlySet<string> | undefined;
  #snapshot: PolicySnapshot | undefined;
  #looked: ReadonlySet<string> | undefined;
  #isRead = false;

  /**
   * `incidental`: names of header fields that fingerprints leave out. `readLater`: names of those that somebody reads of a request that is
   * answered. `maxBytes` 0 keeps none.
   */
  constructor(
    maxBytes: number,
    incidental: ReadonlySet<string>,
    readLater: () => ReadonlySet<string> | undefined = () => undefined,
  ) {
    this.#answers = maxBytes > 0 ? new LRUCache({ maxSize: maxBytes }) : undefined;
    this.#incidental = incidental;
    this.#readLater = readLater;
  }

  /** What is remembered of a question. */
  get({ key, sum }: QuestionFingerprint): RecentAnswer | undefined {
    const names = this.#readLater();
    if (names !== this.#looked) {
      this.#looked = names;
      this.#isRead = names !== undefined && !names.isDisjointFrom(this.#incidental);
    }
    const entry = this.#isRead ? undefined : this.#answers?.get(sum);
    return entry?.key === key ? entry.answer : undefined;
  }

  /** Remembers an answer, if it is one that may be. */
  set({ key, sum }: QuestionFingerprint, trace: DecisionTrace): void {
    if (!this.#answers || !isReusable(trace)) return;
    const { headers } = trace.request.http;
    // What was read of a field that the fingerprint does not hold may be otherwise the next time.
    if (headers.lacked || !headers.read.isDisjointFrom(this.#incidental)) return;
    if (!trace.snapshot.bindings.headers.isDisjointFrom(this.#incidental)) return;
    this.#keepOnly(trace.snapshot);
    const terms = JSON.stringify(trace.cedar).length;
    const size = ENTRY_BYTES + TIMES * key.length + TERMS_TIMES * terms;
    this.#answers.set(sum, { key, answer: this.#answerOf(trace) }, { size });
  }

  /** The answer to this question rests on what the fingerprint does not hold. */
  forget({ sum }: QuestionFingerprint): void {
    this.#answers?.delete(sum);
  }

  /** Answers of another snapshot are good for nothing, and each would keep all of its policies in memory. */
  #keepOnly(snapshot: PolicySnapshot): void {
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    this.#answers?.clear();
  }

  #answerOf(trace: Reusable): RecentAnswer {
    const { canonical, decision, cache, receivedAt, latencyUs } = trace;
    const { http } = trace.request;
    const headers = http.headers.without(this.#incidental);
    const request = { ...trace.request, http: { ...http, headers } };
    const evaluated = { ...trace, request, canonical };
    // How old it was when this answer was evaluated, which may be long after the question arrived.
    const evaluatedAt = receivedAt + Math.floor(latencyUs / 1000) - cache.ageMs;
    return { request, canonical, evaluated, decision, of: cache.of, evaluatedAt };
  }
}

type Reusable = DecisionTrace &
  Evaluated &
  Pick<Received, 'request' | 'canonical'> & { readonly cache: { readonly hit: true } };

function isReusable(trace: DecisionTrace): trace is Reusable {
  const { request, canonical, cache, explained, identities } = trace;
  if (!request || !canonical || cache?.hit !== true || explained || !isEvaluated(trace)) return false;
  // A proof of possession is good for one request, and its next one is another question.
  if (identities?.user?.token.confirmation?.key !== undefined) return false;
  return trace.omissions.length === 0 && isOfThePast(trace);
}

/** Concluded of an evaluation, and not of what happened after it. */
function isEvaluated(trace: DecisionTrace): trace is DecisionTrace & Evaluated {
  return trace.evaluation !== undefined && trace.stage === 'evaluate' && CONCLUDED.has(trace.decision.reason);
}

const CONCLUDED: ReadonlySet<string> = new Set([
  'permitted',
  'no_permit',
  'policy_forbids',
  'authentication_required',
  'step_up_required',
]);

/** Of what seems to be observed later than now, which is newer than what changes as time goes by. */
function isOfThePast({ facts, identities, receivedAt }: DecisionTrace & Evaluated): boolean {
  return (
    facts.every(({ observedAt }) => observedAt <= receivedAt) &&
    (identities.device?.observedAt ?? 0) <= receivedAt
  );
}
