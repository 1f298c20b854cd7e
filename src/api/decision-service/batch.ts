import { setImmediate } from 'node:timers/promises';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { WireQuestion } from './decode.ts';

/** A decoded `pdp.v1.BatchCheckRequest`: the defaults have the form of a question. */
export interface WireBatch extends WireQuestion {
  readonly items: readonly WireQuestion[];
  readonly semantic: number;
}

/** Which items of a batch are answered; the values of `pdp.v1.BatchSemantic`. */
const SEMANTIC = { executeAll: 1, denyOnFirstDeny: 2, permitOnFirstPermit: 3 } as const;

/** Items that are decided in one turn of the event loop: their records share one write, and calls of others wait no longer. */
const LANES = 4;

/**
 * Answers the items of a batch in order, a few in each turn of the event loop. With a semantic that ends early, one after the other up
 * to and with the item that ends it: what is not answered is not decided either.
 */
export async function answerBatch<Item, Answer extends { readonly permitted: boolean }>(
  items: readonly Item[],
  semantic: number,
  answer: (item: Item) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const ends = semantic === SEMANTIC.denyOnFirstDeny || semantic === SEMANTIC.permitOnFirstPermit;
  const width = ends ? 1 : LANES;
  const answers: Answer[] = [];
  for (let at = 0; at < items.length; at += width) {
    if (at > 0) await setImmediate();
    answers.push(...(await Promise.all(items.slice(at, at + width).map(answer))));
    const last = answers.at(-1);
    if (ends && last?.permitted === (semantic === SEMANTIC.permitOnFirstPermit)) break;
  }
  return answers;
}

/** Why a message is no batch (`request_malformed`); `undefined`: it is one. */
export function batchProblem({ items, semantic }: WireBatch, maxItems: number): Refusal | undefined {
  if (items.length === 0) return refuse('request_malformed', 'items are missing');
  if (items.length > maxItems)
    return refuse(
      'request_malformed',
      `${items.length} items are more than the ${maxItems} that are answered`,
    );
  return semantic === 0 || Object.values<number>(SEMANTIC).includes(semantic)
    ? undefined
    : refuse('request_malformed', `semantic ${semantic} is not known`);
}

/** An item with what it leaves out taken from the defaults, whole: nothing is merged. */
export function withDefaults(item: WireQuestion, defaults: WireQuestion): WireQuestion {
  const either = <K extends keyof WireQuestion>(key: K) => item[key] ?? defaults[key] ?? null;
  return {
    subject: either('subject'),
    action: either('action'),
    resource: either('resource'),
    context: either('context'),
  };
}
