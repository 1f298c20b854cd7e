import { OpsRefusal } from '../../api/ops/ops-admin.ts';
import { PdpError, messageOf } from '../../pdp/errors.ts';
import type { ProcessControl, Question } from './control.ts';
import type { FromWorker, ToWorker, ToldError } from './messages.ts';

/** The answer to a question, awaited. */
export type AnswerTo<Q extends Question> = Awaited<ReturnType<ProcessControl[Q]>>;

type Answer = Extract<FromWorker, { readonly type: 'answer' | 'refusal' }>;
type Asked = Extract<ToWorker, { readonly type: 'ask' }>;

/** Asks one worker, and matches its answers to the questions. */
export class WorkerQuestions {
  readonly #send: (message: Asked) => void;
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;

  constructor(send: (message: Asked) => void) {
    this.#send = send;
  }

  /** Rejects with what the worker refuses it with; with `PdpError` where it ends, or has not answered within `withinMs`. */
  async ask<Q extends Question>(
    question: Q,
    given: Parameters<ProcessControl[Q]>,
    withinMs: number,
  ): Promise<AnswerTo<Q>> {
    const id = this.#next++;
    const answered = Promise.withResolvers<unknown>();
    this.#open.set(id, answered);
    const overdue = () => answered.reject(unanswered(`it did not answer within ${withinMs} ms`));
    const timer = setTimeout(overdue, withinMs);
    try {
      this.#send({ type: 'ask', id, question, given });
      return (await answered.promise) as AnswerTo<Q>;
    } finally {
      clearTimeout(timer);
      this.#open.delete(id);
    }
  }

  /** Takes what the worker says to a question; late answers are nobody's. */
  take(answer: Answer): void {
    const asked = this.#open.get(answer.id);
    if (answer.type === 'answer') asked?.resolve(answer.value);
    else asked?.reject(errorOf(answer.error));
  }

  /** The worker is gone: nobody waits for it any longer. */
  end(): void {
    for (const asked of this.#open.values()) asked.reject(unanswered('it ended'));
  }
}

function unanswered(problem: string): PdpError {
  return new PdpError('state_unavailable', `a worker gave no answer: ${problem}`);
}

/** Answers a question of the primary. Never rejects. */
export async function answerTo(control: ProcessControl, { id, question, given }: Asked): Promise<Answer> {
  try {
    const answer = control[question] as (...all: readonly unknown[]) => unknown;
    return { type: 'answer', id, value: await answer(...given) };
  } catch (error) {
    return { type: 'refusal', id, error: toldOf(error) };
  }
}

function toldOf(error: unknown): ToldError {
  const message = messageOf(error);
  if (error instanceof PdpError) return { message, reason: error.reason };
  return error instanceof OpsRefusal ? { message, status: error.status } : { message };
}

function errorOf({ message, reason, status }: ToldError): Error {
  if (reason !== undefined) return new PdpError(reason, message);
  return status === undefined ? new Error(message) : new OpsRefusal(status, message);
}
