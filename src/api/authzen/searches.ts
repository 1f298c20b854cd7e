import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { DecisionPoint } from '../../pdp/decide.ts';
import { uidText } from '../../pdp/evaluation.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { AttributeSource, PolicySnapshotSource } from '../../pdp/ports.ts';
import { mayNotAsk } from '../question/access.ts';
import { type SearchedFor, grantRefusal } from '../question/grants.ts';
import { type QuestionOptions, createQuestionReader } from '../question/question-reader.ts';
import { emptyAnswer, noAnswerOf } from './answers.ts';
import { type Arrival, type CallParts, decide } from './arrival.ts';
import type { Answer, Message } from './evaluations.ts';
import { type Found, look } from './look.ts';
import { type SearchIdentity, pageToken, readPage } from './page.ts';
import { plainQuestionOf, readQuestion } from './read-question.ts';
import { ANY, type OpenedSearch, searchCandidates, withPart } from './search-candidates.ts';

/** What a search came to, for the decision log. */
export interface SearchReport {
  readonly id: string;
  readonly caller: string;
  readonly found: SearchedFor;
  /** What was searched by, in Cedar's words; the part that was searched for is its type alone. */
  readonly subject: string;
  readonly action: string;
  readonly resource: string;
  readonly snapshot: string;
  readonly looked_at: number;
  readonly results: number;
  /** Candidates of whom nothing could be decided. */
  readonly undecided: number;
  /** Whether this was the last page. */
  readonly ended: boolean;
  readonly latency_us: number;
  readonly trace_id: string | undefined;
  readonly span_id: string | undefined;
  readonly request_id: string | undefined;
}

/** What the Search APIs need. */
export interface SearchParts extends CallParts {
  readonly snapshots: PolicySnapshotSource;
  readonly questions: QuestionOptions;
  readonly sources: readonly AttributeSource[];
  /** Decides as `decisionPoint` does, without a record for each candidate. */
  readonly unrecorded: DecisionPoint;
  /** Puts a search into the decision log; rejects where it cannot. */
  record(report: SearchReport): Promise<void>;
  readonly maxPage: number;
  readonly maxCandidates: number;
}

type Opened = OpenedSearch & { readonly page: unknown };

interface Outcome {
  readonly found: Found;
  readonly snapshot: PolicySnapshot;
  readonly arrival: Arrival;
}

const WITHOUT = { subject: 'subject.id', resource: 'resource.id', action: undefined } as const;

/**
 * Answers the Search APIs (AuthZEN §8): every candidate that is known by name is asked about as the Access Evaluation API would, by one
 * snapshot. Bounded in results, candidates and time; what was not looked at is on the next page.
 */
export class Searches {
  readonly #parts: SearchParts;
  readonly #read: ReturnType<typeof createQuestionReader>;

  constructor(parts: SearchParts) {
    this.#parts = parts;
    this.#read = createQuestionReader(parts.questions);
  }

  /** One page of one search. */
  async page(searched: SearchedFor, message: () => Message, arrival: Arrival): Promise<Answer> {
    const opened = this.#open(searched, message, arrival);
    if (isRefusal(opened)) return await this.#none(opened, arrival);
    const { snapshots, maxPage, maxCandidates, sources, questions, clock, unrecorded } = this.#parts;
    const snapshot = snapshots.current();
    if (!snapshot)
      return await this.#none(refuse('policies_unavailable', 'no policy snapshot is loaded'), arrival);
    const identity = [searched, opened.said, snapshot.digest];
    const page = readPage(opened.page, identity, maxPage);
    if (isRefusal(page)) return await this.#none(page, arrival);
    const { after = '' } = page;
    const from = { sources, namespace: questions.namespace, read: this.#read };
    const listed = searchCandidates(opened, snapshot, { after, max: maxCandidates }, from);
    const found = await look(listed, { clock, unrecorded, snapshot, arrival, page });
    if (found.refusal) return await this.#none(found.refusal, arrival);
    await this.#record(opened, { found, snapshot, arrival });
    return {
      body: {
        results: found.results,
        page: {
          next_token: nextToken(found, identity),
          count: found.results.length,
        },
        context: {
          decision_id: arrival.envelope.id,
          snapshot: snapshot.digest,
          undecided: found.undecided,
          ...(listed.unlisted.length > 0 && { unlisted: listed.unlisted }),
        },
      },
    };
  }

  async #none(refusal: Refusal, arrival: Arrival): Promise<Answer> {
    const trace = await decide(this.#parts, refusal, arrival);
    const none = noAnswerOf(trace, arrival.asker.unauthenticated);
    return none ? { none } : { body: emptyAnswer(trace) };
  }

  #open(searched: SearchedFor, message: () => Message, { asker, full }: Arrival): Opened | Refusal {
    const mayNot = full ?? mayNotAsk(asker);
    if (mayNot) return mayNot;
    const opened = message();
    if (isRefusal(opened)) return opened;
    const read = readQuestion(opened.json, WITHOUT[searched]);
    if (isRefusal(read)) return read;
    const said = withPart(read, searched, ANY);
    if (isRefusal(said)) return said;
    const question = this.#read(plainQuestionOf(said));
    if (isRefusal(question)) return question;
    const { page } = opened.json;
    return grantRefusal(question, asker.grants, searched) ?? { searched, said, question, page };
  }

  async #record({ searched, question }: OpenedSearch, { found, snapshot, arrival }: Outcome): Promise<void> {
    const { clock } = this.#parts;
    const { id, pep, startedAt, trace, requestId } = arrival.envelope;
    const { subject, action, resource } = question;
    const named = subject ? uidText(subject.uid) : (found.principal ?? '');
    await this.#parts.record({
      id,
      caller: pep.application?.id ?? pep.workload?.id ?? pep.address,
      found: searched,
      subject: subject && searched === 'subject' ? subject.uid.type : named,
      action: searched === 'action' ? '' : uidText(action),
      resource: searched === 'resource' ? resource.uid.type : uidText(resource.uid),
      snapshot: snapshot.digest,
      looked_at: found.lookedAt,
      results: found.results.length,
      undecided: found.undecided,
      ended: found.next === undefined,
      latency_us: Math.round((clock.monotonic() - startedAt) * 1000),
      trace_id: trace?.traceId,
      span_id: trace?.spanId,
      request_id: requestId,
    });
  }
}

function nextToken({ next, stalls }: Found, identity: SearchIdentity): string {
  return next === undefined ? '' : pageToken({ after: next, stalls }, identity);
}
