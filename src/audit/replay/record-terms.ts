import { typeName } from '../../pdp/entities.ts';
import { uidText } from '../../pdp/evaluation.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { FULL, SHORTER } from '../record/limits.ts';
import { said } from './outcome.ts';
import type { Difference } from './verdict.ts';

/** A record's question, as its line says it. */
export interface Terms {
  readonly principal?: unknown;
  readonly action?: unknown;
  readonly resource?: unknown;
}

const NAMES = ['principal', 'action', 'resource'] as const;

const NOBODY = uidText({ type: typeName('Anonymous'), id: 'anonymous' });

/** Lengths at which lines cut. */
const CUTS: ReadonlySet<number> = new Set([64, 512, FULL.text, FULL.path, SHORTER.text, SHORTER.path]);

/** What a line says of its question; nothing where that is cut. */
export function termsOf({ question, pseudonyms, principal, action, resource }: DecisionRecord): Terms {
  return question !== undefined && pseudonyms === undefined ? {} : { principal, action, resource };
}

/**
 * The first thing in which a record that was evaluated, or reused an answer, contradicts itself: the request that it tells is not the
 * question that was answered (`asked`), it says what only a refusal has, or says of nobody identified what belongs to somebody.
 */
export function contradiction(record: DecisionRecord, asked: Terms): Difference | undefined {
  for (const field of ['cause', 'evidence'])
    if (record[field] !== undefined) return differs(field, record[field], 'nothing');
  return otherTerms(termsToCompare(record), asked) ?? aboutNobody(record);
}

/** The first of the terms that both say, and that differs. */
export function otherTerms(recorded: Terms, asked: Terms): Difference | undefined {
  for (const name of NAMES) {
    const [was, is] = [recorded[name], asked[name]];
    if (was !== undefined && is !== undefined && was !== is) return differs(name, was, is);
  }
  return undefined;
}

function differs(field: string, recorded: unknown, replayed: unknown): Difference {
  return { field, recorded: said(recorded), replayed: said(replayed) };
}

/** Cedar's terms of an HTTP request, as the parties, method and path in the line make them; absent where they cannot be told from it. */
function termsToCompare(record: DecisionRecord): Terms {
  const { method, binding, question, pseudonyms } = record;
  if (typeof method !== 'string') return {};
  if (question !== undefined && pseudonyms === undefined) return {};
  const principal = principalOf(record);
  if (binding !== undefined) return { principal };
  const action = isWhole(method) ? uidText({ type: typeName('Action'), id: method }) : undefined;
  return { principal, action, resource: endpointOf(record) };
}

function isWhole(text: unknown): text is string {
  return typeof text === 'string' && !(text.endsWith('…') && CUTS.has(text.length));
}

function principalOf({ user, source_identity: source, pseudonyms }: DecisionRecord): string | undefined {
  if (user !== undefined) return isWhole(user) ? uidText({ type: typeName('User'), id: user }) : undefined;
  // A workload's own member has its name, whatever stands for it elsewhere.
  if (pseudonyms !== undefined) return undefined;
  if (!isRecord(source)) return NOBODY;
  const id = source['spiffe_id'];
  return isWhole(id) ? uidText({ type: typeName('Workload'), id }) : undefined;
}

function endpointOf({ path, host, destination_identity: destination }: DecisionRecord): string | undefined {
  const service = isRecord(destination) ? destination['spiffe_id'] : host;
  return isWhole(path) && isWhole(service)
    ? uidText({ type: typeName('Endpoint'), id: `${service} ${path}` })
    : undefined;
}

/** Whether users can authenticate is recorded where nobody was identified, nor named as the subject, and nowhere else. */
function aboutNobody(record: DecisionRecord): Difference | undefined {
  const { accepts_tokens: accepts, user, source_identity: source, asserted } = record;
  const named = Array.isArray(asserted) && asserted.includes('subject');
  if (user !== undefined || source !== undefined || named)
    return accepts === undefined ? undefined : differs('accepts_tokens', accepts, 'nothing');
  return typeof accepts === 'boolean' ? undefined : differs('accepts_tokens', accepts, 'true or false');
}
