import { setImmediate } from 'node:timers/promises';

/** Which items of a batch are answered: all, or in order up to and with the first one that is denied, or permitted. */
export type BatchSemantic = 'execute_all' | 'deny_on_first_deny' | 'permit_on_first_permit';

/** Items that are decided in one turn of the event loop: their records share one write, and calls of others wait no longer. */
const LANES = 4;

/**
 * Answers the items of a batch in order, a few in each turn of the event loop. With a semantic that ends early, one after the other up
 * to and with the item that ends it: what is not answered is not decided either.
 */
export async function answerBatch<Item, Answer extends { readonly permitted: boolean }>(
  items: readonly Item[],
  semantic: BatchSemantic,
  answer: (item: Item) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const ends = semantic !== 'execute_all';
  const width = ends ? 1 : LANES;
  const answers: Answer[] = [];
  for (let at = 0; at < items.length; at += width) {
    if (at > 0) await setImmediate();
    answers.push(...(await Promise.all(items.slice(at, at + width).map(answer))));
    const last = answers.at(-1);
    if (ends && last?.permitted === (semantic === 'permit_on_first_permit')) break;
  }
  return answers;
}
