import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { BatchSemantic } from '../question/batch.ts';
import type { WireQuestion } from './decode.ts';

/** A decoded `pdp.v1.BatchCheckRequest`: the defaults have the form of a question. */
export interface WireBatch extends WireQuestion {
  readonly items: readonly WireQuestion[];
  readonly semantic: number;
}

/** By the values of `pdp.v1.BatchSemantic`. */
const SEMANTICS: readonly BatchSemantic[] = [
  'execute_all',
  'execute_all',
  'deny_on_first_deny',
  'permit_on_first_permit',
];

/** What a value of `pdp.v1.BatchSemantic` means; one that is not known is a problem of {@link batchProblem}. */
export function semanticOf(value: number): BatchSemantic {
  return SEMANTICS[value] ?? 'execute_all';
}

/** Why a message is no batch (`request_malformed`); `undefined`: it is one. */
export function batchProblem({ items, semantic }: WireBatch, maxItems: number): Refusal | undefined {
  if (items.length === 0) return refuse('request_malformed', 'items are missing');
  if (items.length > maxItems)
    return refuse(
      'request_malformed',
      `${items.length} items are more than the ${maxItems} that are answered`,
    );
  return SEMANTICS[semantic] === undefined
    ? refuse('request_malformed', `semantic ${semantic} is not known`)
    : undefined;
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
