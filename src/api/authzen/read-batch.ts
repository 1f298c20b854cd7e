import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import { itemProblem } from './json-body.ts';
import type { BatchSemantic } from '../question/batch.ts';
import { type SaidQuestion, readQuestion } from './read-question.ts';

type Json = Readonly<Record<string, unknown>>;

/** A request to the Access Evaluations API. */
export type SaidBatch =
  /** There are no items: it is one question (AuthZEN §7.1). */
  { readonly only: SaidQuestion; readonly items?: never } | SaidItems;

/** Many questions. */
export interface SaidItems {
  /** Each a question, what it leaves out taken from the defaults; or why it is none. Read late: reading has its cost, and time may be up. */
  readonly items: readonly (() => SaidQuestion | Refusal)[];
  readonly semantic: BatchSemantic;
}

const SEMANTICS: readonly unknown[] = [
  'execute_all',
  'deny_on_first_deny',
  'permit_on_first_permit',
] satisfies readonly BatchSemantic[];

/** Reads a batch (AuthZEN §7.1). What is none as a whole is refused as `request_malformed`; an item that is none fails by itself. */
export function readBatch(json: Json, maxItems: number): SaidBatch | Refusal {
  const { evaluations = [], options } = json;
  if (!Array.isArray(evaluations)) return refuse('request_malformed', 'evaluations must be an array');
  if (evaluations.length > maxItems)
    return refuse(
      'request_malformed',
      `${evaluations.length} evaluations are more than the ${maxItems} that are answered`,
    );
  const semantic = semanticIn(options);
  if (typeof semantic !== 'string') return semantic;
  if (evaluations.length === 0) {
    const only = readQuestion(json);
    return isRefusal(only) ? only : { only };
  }
  const wrong = PARTS.find((name) => !isPart(json[name]));
  if (wrong !== undefined) return refuse('request_malformed', `${wrong} must be an object`);
  return { items: evaluations.map((item: unknown) => () => readItem(item, json)), semantic };
}

function readItem(item: unknown, json: Json): SaidQuestion | Refusal {
  if (!isRecord(item)) return refuse('request_malformed', 'the item must be an object');
  return itemProblem(item) ?? readQuestion(withDefaults(item, json));
}

/** The parts of a question, with what of each is needed. */
const NEEDED = { subject: ['type', 'id'], action: ['name'], resource: ['type', 'id'], context: [] } as const;
const PARTS = ['subject', 'action', 'resource', 'context'] as const;

function isPart(value: unknown): boolean {
  return value === undefined || value === null || isRecord(value);
}

/** A part that an item leaves out is taken from the defaults, whole; of one that is there, only what is needed and missing is. */
function withDefaults(item: Json, defaults: Json): Json {
  const part = (name: (typeof PARTS)[number]): unknown => {
    const [own, usual] = [item[name] ?? undefined, defaults[name]];
    if (own === undefined) return usual;
    if (!isRecord(own) || !isRecord(usual)) return own;
    // A subject that a token proves has no type and id.
    const needed = Object.hasOwn(own, 'token') ? [] : NEEDED[name].filter((key) => Object.hasOwn(usual, key));
    return { ...Object.fromEntries(needed.map((key) => [key, usual[key]])), ...own };
  };
  return Object.fromEntries(PARTS.map((name) => [name, part(name)]));
}

function semanticIn(options: unknown): BatchSemantic | Refusal {
  if (options === undefined || options === null) return 'execute_all';
  if (!isRecord(options)) return refuse('request_malformed', 'options must be an object');
  const { evaluations_semantic: semantic = 'execute_all' } = options;
  return SEMANTICS.includes(semantic)
    ? (semantic as BatchSemantic)
    : refuse('request_malformed', `options.evaluations_semantic must be one of ${SEMANTICS.join(', ')}`);
}
