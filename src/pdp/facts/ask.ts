import { abortable } from '../abortable.ts';
import type {
  AttributeAnswer,
  AttributeFact,
  AttributeOmission,
  LeftOut,
  LeftOutAttributes,
  OnFailure,
} from '../attribute.ts';
import type { CallScope } from '../call-scope.ts';
import { type Refusal, refuse } from '../decision.ts';
import { messageOf } from '../errors.ts';
import type { AttributeSource } from '../ports.ts';
import { type Misfit, type Reading, meaningOf } from './reading.ts';

/** A source, what is wanted of it, and about whom. */
export interface Question {
  readonly source: AttributeSource;
  readonly reading: Reading;
  readonly subjectId: string;
  /** Why it cannot be asked; see `KnownBy`. */
  readonly unaskable?: string | undefined;
}

/** A quiet source does not know the subject, which is not worth a word, but only holds for as long as it is fresh. */
export interface Silence {
  readonly status: 'silent';
  readonly freshUntil: number;
}

/** What asking comes to. */
export type Outcome = AttributeFact | AttributeOmission | Silence | Refusal;

/**
 * Asks a source, and does what its configuration says where it fails or answers wrongly: attribute by attribute, for those that the
 * policies can read. A source that answers at once is not waited for.
 */
export function ask(question: Question, scope: CallScope): Outcome | Promise<Outcome> {
  const { source, reading, subjectId, unaskable } = question;
  try {
    if (unaskable !== undefined) return failed(new Error(unaskable), question, scope);
    const answer = source.lookup(subjectId, scope.facts, reading.staleWillDo);
    return answer instanceof Promise ? awaited(answer, question, scope) : taken(answer, question);
  } catch (error) {
    return failed(error, question, scope);
  }
}

async function awaited(
  answer: Promise<AttributeAnswer>,
  question: Question,
  scope: CallScope,
): Promise<Outcome> {
  try {
    return taken(await abortable(answer, scope.facts.signal), question);
  } catch (error) {
    return failed(error, question, scope);
  }
}

function taken(answer: AttributeAnswer, question: Question): Outcome {
  const { source, reading, subjectId } = question;
  if (answer.status === 'absent')
    return source.quiet
      ? { status: 'silent', freshUntil: answer.freshUntil }
      : factOf(answer, source, subjectId, undefined);
  const misfits = reading.misfits(answer.attributes);
  if (misfits.length === 0) return factOf(answer, source, subjectId, undefined);
  const refused = misfits.find(({ attribute }) => meaningOf(source, attribute) !== 'omit');
  if (refused) return wrong(source, refused);
  const leftOut = leaveOut(misfits.map(nameOf), 'wrong_type');
  return factOf(answer, source, subjectId, leftOut);
}

function wrong({ name }: AttributeSource, { problem }: Misfit): Refusal {
  return refuse('attribute_refused', `${name}: ${problem}`);
}

function failed(error: unknown, question: Question, scope: CallScope): Outcome {
  const interrupted = scope.interruption();
  if (interrupted) return interrupted;
  const { source } = question;
  const failure = messageOf(error);
  const needed = meaning(question, 'deny');
  if (needed.length > 0) return unavailable(source, failure, `${listed(needed)} must be known`);
  return meaning(question, 'last_known').length > 0
    ? lastKnown(failure, question)
    : omitted(failure, question);
}

/** What has its word from what the source said last; the rest is left out. */
function lastKnown(failure: string, question: Question): Outcome {
  const { source, reading, subjectId } = question;
  const wanted = meaning(question, 'last_known');
  const answer = lastAnswer(source, subjectId);
  if (!answer) return unavailable(source, failure, `nothing is known of ${listed(wanted)} from before`);
  const misfits = reading.misfits(answer.attributes);
  const refused = misfits.find(({ attribute }) => wanted.includes(attribute));
  if (refused) return wrong(source, refused);
  const leftOut = {
    ...leaveOut(misfits.map(nameOf), 'wrong_type'),
    ...leaveOut(
      reading.names.filter((name) => !wanted.includes(name)),
      'unavailable',
    ),
  };
  return { ...factOf(answer, source, subjectId, leftOut), stale: true, failure };
}

function lastAnswer(source: AttributeSource, subjectId: string): AttributeAnswer | undefined {
  try {
    return source.lastKnown?.(subjectId);
  } catch {
    // It has failed already, and that is what is told.
    return undefined;
  }
}

function omitted(failure: string, { source, reading, subjectId }: Question): AttributeOmission {
  return {
    source: source.name,
    gives: source.gives,
    subject: source.subject,
    subjectId,
    status: 'omitted',
    leftOut: leaveOut(reading.names, 'unavailable'),
    detail: `${source.name}: ${failure}`,
  };
}

function meaning({ source, reading }: Question, wanted: OnFailure): readonly string[] {
  return reading.names.filter((name) => meaningOf(source, name) === wanted);
}

function unavailable({ name }: AttributeSource, failure: string, why: string): Refusal {
  return refuse('attribute_unavailable', `${name}: ${failure}; ${why}`);
}

const MAX_LISTED = 4;

function listed(names: readonly string[]): string {
  const more = names.length > MAX_LISTED ? ' and others' : '';
  return `${names
    .slice(0, MAX_LISTED)
    .map((name) => `'${name}'`)
    .join(', ')}${more}`;
}

function nameOf({ attribute }: Misfit): string {
  return attribute;
}

function leaveOut(names: readonly string[], why: LeftOut): LeftOutAttributes {
  return Object.fromEntries(names.map((name) => [name, why]));
}

function factOf(
  answer: AttributeAnswer,
  { name, gives, subject, onFailure, onFailureOf }: AttributeSource,
  subjectId: string,
  leftOut: LeftOutAttributes | undefined,
): AttributeFact {
  const meaning = { onFailure, ...(onFailureOf && { onFailureOf }) };
  const fact = { ...answer, source: name, gives, subject, subjectId, ...meaning };
  return leftOut && Object.keys(leftOut).length > 0 ? { ...fact, leftOut } : fact;
}
