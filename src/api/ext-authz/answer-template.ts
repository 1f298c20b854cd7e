import type { Decision } from '../../pdp/decision.ts';

type Encode = (id: string, decision: Decision) => Buffer;

/** Bytes of an answer with the places at which the decision id stands. */
interface Template {
  readonly bytes: Buffer;
  readonly places: readonly number[];
}

/** A decision id as long as any, that is none: its time has not come. */
const MARK = 'ffffffff-ffff-7fff-bfff-ffffffffffff';

/**
 * Makes an encoder that encodes each decision once: in the answer to a question that was answered before, only the decision id is another
 * one. Byte for byte it is what `encode` would make.
 */
export function encodeOnce(encode: Encode): Encode {
  const templates = new WeakMap<Decision, Template | 'none'>();
  return (id, decision) => {
    if (id.length !== MARK.length) return encode(id, decision);
    let template = templates.get(decision);
    if (!template) templates.set(decision, (template = templateOf(encode, id, decision)));
    return template === 'none' ? encode(id, decision) : filled(template, id);
  };
}

/** There is none where the decision itself holds the mark. */
function templateOf(encode: Encode, id: string, decision: Decision): Template | 'none' {
  const bytes = encode(MARK, decision);
  const places: number[] = [];
  for (let at = bytes.indexOf(MARK); at !== -1; at = bytes.indexOf(MARK, at + 1)) places.push(at);
  const template = { bytes, places };
  return filled(template, id).equals(encode(id, decision)) ? template : 'none';
}

/** What was sent may still be on its way: each answer has bytes of its own. */
function filled({ bytes, places }: Template, id: string): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  bytes.copy(copy);
  for (const place of places) copy.write(id, place, 'latin1');
  return copy;
}
