import type { Incoming } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Refusal, isRefusal } from '../../pdp/decision.ts';
import type { PolicySnapshotSource } from '../../pdp/ports.ts';
import { mayNotAsk } from '../question/access.ts';
import { answerBatch } from '../question/batch.ts';
import { grantRefusal } from '../question/grants.ts';
import { type QuestionOptions, createQuestionReader } from '../question/question-reader.ts';
import { type NoAnswer, errorAnswer, evaluationAnswer, noAnswerOf } from './answers.ts';
import { type Arrival, type CallParts, decide } from './arrival.ts';
import { type SaidItems, readBatch } from './read-batch.ts';
import { type SaidQuestion, plainQuestionOf, readQuestion } from './read-question.ts';

/** What the Access Evaluation APIs need. */
export interface EvaluationParts extends CallParts {
  /** Where a batch takes its one snapshot from. */
  readonly snapshots: PolicySnapshotSource;
  readonly questions: QuestionOptions;
  readonly maxBatchItems: number;
}

/** A message as it came: a JSON object, or why it is none. */
export type Message = { readonly json: Readonly<Record<string, unknown>> } | Refusal;

/** What a call is answered with. */
export type Answer = { readonly body: object } | { readonly none: NoAnswer };

/** Answers the Access Evaluation APIs (AuthZEN §6, §7) by the pipeline, the caches and the records that serve the mesh. */
export class Evaluations {
  readonly #parts: EvaluationParts;
  readonly #read: ReturnType<typeof createQuestionReader>;

  constructor(parts: EvaluationParts) {
    this.#parts = parts;
    this.#read = createQuestionReader(parts.questions);
  }

  /** One question, one answer. */
  async one(message: () => Message, arrival: Arrival): Promise<Answer> {
    const said = this.#open(message, arrival);
    return await this.#single(isRefusal(said) ? said : readQuestion(said.json), arrival);
  }

  /** Many questions by one snapshot; one where there are no items. */
  async many(message: () => Message, arrival: Arrival): Promise<Answer> {
    const said = this.#open(message, arrival);
    const batch = isRefusal(said) ? said : readBatch(said.json, this.#parts.maxBatchItems);
    if (isRefusal(batch)) return await this.#single(batch, arrival);
    if (!batch.items) return await this.#single(batch.only, arrival);
    return { body: { evaluations: await this.#items(batch, arrival) } };
  }

  async #single(said: SaidQuestion | Refusal, arrival: Arrival): Promise<Answer> {
    const trace = await decide(this.#parts, this.#question(said, arrival), arrival);
    const none = noAnswerOf(trace, arrival.asker.unauthenticated);
    return none ? { none } : { body: evaluationAnswer(trace, arrival.asker.mayExplain) };
  }

  async #items({ items, semantic }: SaidItems, arrival: Arrival): Promise<readonly object[]> {
    const { snapshots, clock } = this.#parts;
    const snapshot = snapshots.current();
    const { id: batch, receivedAt } = arrival.envelope;
    const { unauthenticated, mayExplain } = arrival.asker;
    const answers = await answerBatch(items, semantic, async (item) => {
      const startedAt = clock.monotonic();
      const envelope = { ...arrival.envelope, id: decisionId(receivedAt), startedAt, batch };
      const question = arrival.scope.interruption() ?? this.#question(item(), arrival);
      using scope = arrival.scope.part();
      const trace = await decide(this.#parts, question, { ...arrival, envelope, scope }, { snapshot });
      const none = noAnswerOf(trace, unauthenticated);
      const answer = none ? errorAnswer(none) : evaluationAnswer(trace, mayExplain);
      return { permitted: trace.decision.verdict === 'permit', answer };
    });
    return answers.map(({ answer }) => answer);
  }

  #question(said: SaidQuestion | Refusal, { asker }: Arrival): Incoming['question'] {
    const question = isRefusal(said) ? said : this.#read(plainQuestionOf(said));
    return isRefusal(question) ? question : (grantRefusal(question, asker.grants) ?? question);
  }

  /** Whatever turns a call away before its message is looked at, else the message. */
  #open(message: () => Message, { asker, full }: Arrival): Message {
    return full ?? mayNotAsk(asker) ?? message();
  }
}
