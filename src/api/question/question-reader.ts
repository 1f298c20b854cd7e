import type { AttributeRecord } from '../../pdp/attribute.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { typeName } from '../../pdp/entities.ts';
import type { AssertedEntity, EntityQuestion } from '../../pdp/entity-question.ts';
import type { EntityUid } from '../../pdp/evaluation.ts';
import { externalJsonProblem, toAttributeValue } from '../../pdp/external-json.ts';
import { HeaderFields } from '../../pdp/header-fields.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { Names } from './names.ts';

/** A JSON object from outside, not looked at yet. */
export type PlainRecord = Readonly<Record<string, unknown>>;

/** The subject of a {@link PlainQuestion}: `''` stands for what is not given. */
export interface PlainSubject {
  readonly type: string;
  readonly id: string;
  readonly properties?: PlainRecord | undefined;
  readonly token: string;
  readonly deviceAssertion: string;
}

/** A question about entities as it comes off any wire: of the right types, and nothing more. */
export interface PlainQuestion {
  readonly subject?: PlainSubject | undefined;
  readonly action?: { readonly name: string; readonly properties?: PlainRecord | undefined } | undefined;
  readonly resource?:
    { readonly type: string; readonly id: string; readonly properties?: PlainRecord | undefined } | undefined;
  readonly context?: PlainRecord | undefined;
}

/** How questions are read. */
export interface QuestionOptions {
  /** Namespace of names without `::`. */
  readonly namespace: string;
  /** Subjects of information points by entity type, in full. */
  readonly pipSubjects: ReadonlyMap<string, readonly string[]>;
  /** Lower-case name of the header that device assertions come in. */
  readonly assertionHeader: string;
  /** Lower-case name of the header in which tokens of its issuer come; without it all come in `authorization`. */
  readonly headerOfToken?: (token: string) => string;
  /** Reads a SPIFFE ID; `undefined` for what is none. */
  readonly parseSpiffeId: (text: string) => WorkloadIdentity | undefined;
}

/** Makes the reader of questions about entities. What is no question is refused as `request_malformed`, in words for the caller. */
export function createQuestionReader(
  options: QuestionOptions,
): (plain: PlainQuestion) => EntityQuestion | Refusal {
  const names = new Names(options.namespace);
  const entity = (what: string, plain: PlainEntity): AssertedEntity | Refusal => {
    const uid = names.entity(what, plain.type, plain.id);
    if (isRefusal(uid)) return uid;
    const properties = recordOf(`${what}.properties`, plain.properties);
    return isRefusal(properties) ? properties : assertedEntity(what, uid, properties.record, options);
  };
  return ({ subject, action, resource, context }) => {
    if (!subject) return refuse('request_malformed', 'subject is missing');
    if (!action) return refuse('request_malformed', 'action is missing');
    if (!resource) return refuse('request_malformed', 'resource is missing');
    const known = subjectOf(subject, (named) => entity('subject', named));
    if (known && isRefusal(known)) return known;
    const uid = names.action(action.name);
    if (isRefusal(uid)) return uid;
    const object = entity('resource', resource);
    if (isRefusal(object)) return object;
    const said = circumstancesOf(action.properties, context);
    if (isRefusal(said)) return said;
    return {
      ...(known && { subject: known }),
      credentials: credentialsOf(subject, options),
      action: uid,
      resource: object,
      context: said.context,
      asserted: [
        ...(known ? ['subject', ...named('subject', known.properties)] : []),
        ...named('resource', object.properties),
        ...said.asserted,
      ],
    };
  };
}

type PlainEntity = Pick<PlainSubject, 'type' | 'id' | 'properties'>;

/** The subject that is asserted; `undefined` where a token is to prove it. */
function subjectOf(
  plain: PlainSubject,
  entity: (plain: PlainEntity) => AssertedEntity | Refusal,
): AssertedEntity | Refusal | undefined {
  if (plain.token === '') return entity(plain);
  return plain.type === '' && plain.id === '' && plain.properties === undefined
    ? undefined
    : refuse('request_malformed', 'a subject with a token has no type, id or properties beside it');
}

/** A token is a token here: what header its issuer's come in elsewhere says who verifies it, and nothing about who sends it. */
function credentialsOf(
  { token, deviceAssertion }: PlainSubject,
  { assertionHeader, headerOfToken }: QuestionOptions,
): HeaderFields {
  const fields: [string, string][] = [];
  if (token !== '') {
    const header = headerOfToken?.(token) ?? 'authorization';
    fields.push([header, header === 'authorization' ? `Bearer ${token}` : token]);
  }
  if (deviceAssertion !== '') fields.push([assertionHeader, deviceAssertion]);
  return new HeaderFields(fields, false);
}

function assertedEntity(
  what: string,
  uid: EntityUid,
  properties: AttributeRecord,
  { pipSubjects, parseSpiffeId }: QuestionOptions,
): AssertedEntity | Refusal {
  const entity = { uid, properties, subjects: pipSubjects.get(uid.type) ?? [] };
  if (uid.type !== typeName('Workload')) return entity;
  const workload = parseSpiffeId(uid.id);
  return workload ? { ...entity, workload } : refuse('request_malformed', `${what}.id is not a SPIFFE ID`);
}

function circumstancesOf(
  parameters: PlainRecord | undefined,
  circumstances: PlainRecord | undefined,
): { readonly context: AttributeRecord; readonly asserted: readonly string[] } | Refusal {
  const action = recordOf('action.properties', parameters);
  if (isRefusal(action)) return action;
  const context = recordOf('context', circumstances);
  if (isRefusal(context)) return context;
  const asserted = [
    ...named('action', action.record),
    ...named('context', context.record),
    ...named('action', parametersIn(context.record)),
  ];
  if (!parameters) return { context: context.record, asserted };
  if (Object.hasOwn(context.record, 'action'))
    return refuse('request_malformed', 'context.action is where action.properties go');
  return { context: { ...context.record, action: action.record }, asserted };
}

/** Policies see no difference: who may not say it of the action may not say it here. */
function parametersIn({ action }: AttributeRecord): AttributeRecord {
  return typeof action === 'object' && !Array.isArray(action) ? (action as AttributeRecord) : {};
}

/** Wrapped, since a caller's record may have a member that makes it look like a refusal. */
function recordOf(
  what: string,
  json: PlainRecord | undefined,
): { readonly record: AttributeRecord } | Refusal {
  if (json === undefined) return { record: {} };
  const problem = externalJsonProblem(json);
  if (problem !== undefined) return refuse('request_malformed', `${what} ${problem}`);
  const record = toAttributeValue(json);
  return record === undefined
    ? refuse('request_malformed', `${what} holds what Cedar has no value for: a fraction, or null in a list`)
    : { record: record as AttributeRecord };
}

function named(what: string, record: AttributeRecord): readonly string[] {
  return Object.keys(record).map((name) => `${what}.${name}`);
}
