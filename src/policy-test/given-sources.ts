import { dirname, resolve } from 'node:path';
import type { AttributeAnswer, AttributeRecord, AttributeValue } from '../pdp/attribute.ts';
import { InputError } from '../pdp/errors.ts';
import { externalJsonProblem, toAttributeValue } from '../pdp/external-json.ts';
import type { AttributeSource } from '../pdp/ports.ts';
import type { GivenFact, GivenFactsFile } from './case-schema.ts';
import { readIfThere } from './policy-set.ts';
import type { RequestCase } from './test-case.ts';

/**
 * The information points of a case: each of its `facts` and `facts_files` is a source that the real gathering stage asks, so that a
 * fact about a device whose id nobody proved, or one that no policy reads, stays unused as it would in service. Throws `InputError`
 * for values that policies cannot hold.
 */
export function givenSources(test: RequestCase, now: number): AttributeSource[] {
  const { facts, facts_files: files } = test.given;
  return [
    ...(facts ?? []).map((fact) => factSource(test, fact, now)),
    ...(files ?? []).map((file) => fileSource(test, file, now)),
  ];
}

function factSource(test: RequestCase, fact: GivenFact, now: number): AttributeSource {
  const attributes = recordOf(test, fact.attributes, `facts of '${fact.source}'`);
  const { state, on_failure_by_attribute: byAttribute } = fact;
  const answer = answerOf(fact, attributes, now);
  return {
    name: fact.source,
    subject: fact.subject,
    gives: givenNames(fact, attributes),
    onFailure: fact.on_failure,
    onFailureOf: new Map(Object.entries(byAttribute)),
    lookup(_subjectId, _asker, stale) {
      if (state === 'down' || (state === 'stale' && !stale)) throw new Error('the source is down');
      return answer;
    },
    lastKnown: () => (state === 'stale' ? answer : undefined),
  };
}

/** A source that is down is asked for whatever it might have given. */
function givenNames(
  { state, groups, on_failure_by_attribute: byAttribute }: GivenFact,
  attributes: AttributeRecord,
): readonly string[] {
  const hasGroups = groups.length > 0 || state === 'absent' || state === 'down';
  const names = [...Object.keys(attributes), ...Object.keys(byAttribute), ...(hasGroups ? ['groups'] : [])];
  return [...new Set(names)];
}

function answerOf(fact: GivenFact, attributes: AttributeRecord, now: number): AttributeAnswer {
  const { state, groups, stated, event } = fact;
  return {
    ...(state === 'absent' ? ABSENT : { status: 'found', attributes, groups }),
    observedAt: now - fact.age_s * 1000,
    freshUntil: now + fact.fresh_s * 1000,
    ...(!stated && { assumed: true }),
    ...(event && { event: true }),
    ...(state === 'stale' && { stale: true }),
  };
}

const ABSENT = { status: 'absent', attributes: {}, groups: [] } as const satisfies Partial<AttributeAnswer>;
const FRESH_MS = 30_000;

function fileSource(
  test: RequestCase,
  { source, subject, file }: GivenFactsFile,
  now: number,
): AttributeSource {
  const subjects = readFactsFile(test, file);
  const names = Object.values(subjects).flatMap((facts) => Object.keys(facts));
  return {
    name: source,
    subject,
    gives: [...new Set(names)],
    onFailure: 'deny',
    lookup(subjectId) {
      const freshness = { observedAt: now, freshUntil: now + FRESH_MS };
      const facts = Object.hasOwn(subjects, subjectId) ? subjects[subjectId] : undefined;
      if (!facts) return { ...ABSENT, ...freshness };
      const { groups = [], ...attributes } = facts;
      return { status: 'found', attributes, groups: groups as readonly string[], ...freshness };
    },
  };
}

function readFactsFile(test: RequestCase, file: string): { readonly [subjectId: string]: AttributeRecord } {
  const text = readIfThere(resolve(dirname(test.file), file));
  if (text === undefined) throw bad(test, `the facts file '${file}' cannot be read`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad(test, `the facts file '${file}' is not JSON: ${(error as Error).message}`);
  }
  const subjects = Object.entries(recordOf(test, value, `facts file '${file}'`));
  for (const [id, facts] of subjects) {
    if (!isFacts(facts))
      throw bad(
        test,
        `the facts file '${file}' must hold an object of attributes for '${id}', groups being an array`,
      );
  }
  return Object.fromEntries(subjects) as { readonly [subjectId: string]: AttributeRecord };
}

function isFacts(value: AttributeValue): value is AttributeRecord {
  return (
    typeof value === 'object' &&
    !Array.isArray(value) &&
    Array.isArray((value as AttributeRecord)['groups'] ?? [])
  );
}

/** A JSON object as attributes, or an `InputError`. */
export function recordOf(test: RequestCase, value: unknown, what: string): AttributeRecord {
  const problem = externalJsonProblem(value);
  const record = problem === undefined ? toAttributeValue(value) : undefined;
  if (typeof record === 'object' && !Array.isArray(record)) return record as AttributeRecord;
  throw bad(
    test,
    `the ${what} ${problem ?? 'cannot be held by policies: only text, integers, booleans, lists and objects can'}`,
  );
}

function bad(test: RequestCase, message: string): InputError {
  return new InputError('the tests cannot be run:', [test.problem(message)]);
}
