import { type CedarRequest, type EntityUid, uidText } from '../../pdp/evaluation.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { type Blob, type Question, contextBlob, entityBlob, jsonBlob, policiesBlob } from './blob.ts';
import type { Limits } from './limits.ts';
import type { PrivateRecord } from './record-privacy.ts';

/** Longest context, in UTF-16 units of JSON text, that is in the line itself. */
export const INLINE_CONTEXT = 256;

/** The question as the engine got it, so that it can be asked again. */
export interface Inputs {
  /** Digest of the whole question, where the line cannot hold it or must not. */
  readonly question?: string;
  /** In the line where it is short, else its digest. */
  readonly context?: CedarRequest['context'] | string;
  /** Digests, in the order in which the engine got them. */
  readonly entities?: readonly string[];
  readonly blobs: readonly Blob[];
}

const NO_INPUTS: Inputs = { blobs: [] };

/** A cached answer points to the decision that was evaluated: its inputs were equal, and are recorded there. */
export function inputsOf(trace: DecisionTrace, limits: Limits, hidden?: PrivateRecord): Inputs {
  const { cedar, cache, snapshot } = trace;
  if (cedar === undefined || cache?.hit === true) return NO_INPUTS;
  const stored = cedar.entities.map((entity) => hidden?.entity(entity) ?? entityBlob(entity));
  const entities = stored.map(({ digest }) => digest);
  const policies = snapshot ? [policiesBlob(snapshot.digest, snapshot.texts)] : [];
  const blobs = [...policies, ...stored];
  if (hidden || isLong(cedar, limits)) return apart(cedar, entities, { limits, hidden, blobs });
  const json = JSON.stringify(cedar.context);
  if (json.length <= INLINE_CONTEXT) return { context: cedar.context, entities, blobs };
  const context = contextBlob(json);
  return { context: context.digest, entities, blobs: [...blobs, context] };
}

/** Nothing of a question is ever cut: what the line does not hold whole is in a blob, whole. */
function apart(
  { principal, action, resource, context }: CedarRequest,
  entities: readonly string[],
  { limits, hidden, blobs }: ApartOptions,
): Inputs {
  const tooMany = entities.length > limits.items;
  const question: Question = { principal, action, resource, context, ...(tooMany && { entities }) };
  const blob = hidden?.question(question) ?? jsonBlob('question', JSON.stringify(question));
  return { question: blob.digest, ...(!tooMany && { entities }), blobs: [...blobs, blob] };
}

interface ApartOptions {
  readonly limits: Limits;
  readonly hidden: PrivateRecord | undefined;
  readonly blobs: readonly Blob[];
}

/** Whether the line would have to cut something of the question. */
function isLong({ principal, action, resource, entities }: CedarRequest, { text, items }: Limits): boolean {
  // An escaped character takes up to six, and the type has its length too: short ids need no counting.
  const long = (uid: EntityUid) =>
    uid.id.length * 6 + uid.type.length + 4 > text && uidText(uid).length > text;
  return entities.length > items || long(principal) || long(action) || long(resource);
}
