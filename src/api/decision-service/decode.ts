import type protobuf from 'protobufjs';
import type { AttributeRecord } from '../../pdp/attribute.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { typeName } from '../../pdp/entities.ts';
import type { AssertedEntity, EntityQuestion } from '../../pdp/entity-question.ts';
import type { EntityUid } from '../../pdp/evaluation.ts';
import { externalJsonProblem, toAttributeValue } from '../../pdp/external-json.ts';
import { HeaderFields } from '../../pdp/header-fields.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { type WireStruct, structOf } from '../struct.ts';
import { Names } from './names.ts';

/** A decoded `pdp.v1.CheckRequest`, or an item of a batch. */
export interface WireQuestion {
  readonly subject?: {
    readonly type: string;
    readonly id: string;
    readonly properties?: WireStruct | null;
    readonly token: string;
    readonly deviceAssertion: string;
  } | null;
  readonly action?: { readonly name: string; readonly properties?: WireStruct | null } | null;
  readonly resource?: {
    readonly type: string;
    readonly id: string;
    readonly properties?: WireStruct | null;
  } | null;
  readonly context?: WireStruct | null;
}

/** How questions are read. */
export interface DecodeOptions {
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

/** Reads one message. Bytes that are none are refused as `request_malformed`; nothing is thrown. */
export function decodeMessage(bytes: Uint8Array, type: protobuf.Type): object {
  try {
    return type.decode(bytes);
  } catch (error) {
    return refuse('request_malformed', `not a ${type.name}: ${(error as Error).message}`);
  }
}

/** Makes the reader of questions about entities. What is no question is refused as `request_malformed`, in words for the caller. */
export function createQuestionReader(
  options: DecodeOptions,
): (wire: WireQuestion) => EntityQuestion | Refusal {
  const names = new Names(options.namespace);
  const entity = (what: string, wire: WireEntity): AssertedEntity | Refusal => {
    const uid = names.entity(what, wire.type, wire.id);
    if (isRefusal(uid)) return uid;
    const properties = recordOf(`${what}.properties`, wire.properties);
    return isRefusal(properties) ? properties : assertedEntity(what, uid, properties.record, options);
  };
  return ({ subject, action, resource, context }) => {
    if (!subject) return refuse('request_malformed', 'subject is missing');
    if (!action) return refuse('request_malformed', 'action is missing');
    if (!resource) return refuse('request_malformed', 'resource is missing');
    const known = subjectOf(subject, (wire) => entity('subject', wire));
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

type WireSubject = NonNullable<WireQuestion['subject']>;
type WireEntity = Pick<WireSubject, 'type' | 'id' | 'properties'>;

/** The subject that is asserted; `undefined` where a token is to prove it. */
function subjectOf(
  wire: WireSubject,
  entity: (wire: WireEntity) => AssertedEntity | Refusal,
): AssertedEntity | Refusal | undefined {
  if (wire.token === '') return entity(wire);
  return wire.type === '' && wire.id === '' && !wire.properties
    ? undefined
    : refuse('request_malformed', 'a subject with a token has no type, id or properties beside it');
}

/** A token is a token here: what header its issuer's come in elsewhere says who verifies it, and nothing about who sends it. */
function credentialsOf(
  { token, deviceAssertion }: WireSubject,
  { assertionHeader, headerOfToken }: DecodeOptions,
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
  { pipSubjects, parseSpiffeId }: DecodeOptions,
): AssertedEntity | Refusal {
  const entity = { uid, properties, subjects: pipSubjects.get(uid.type) ?? [] };
  if (uid.type !== typeName('Workload')) return entity;
  const workload = parseSpiffeId(uid.id);
  return workload ? { ...entity, workload } : refuse('request_malformed', `${what}.id is not a SPIFFE ID`);
}

function circumstancesOf(
  parameters: WireStruct | null | undefined,
  circumstances: WireStruct | null | undefined,
): { readonly context: AttributeRecord; readonly asserted: readonly string[] } | Refusal {
  const action = recordOf('action.properties', parameters);
  if (isRefusal(action)) return action;
  const context = recordOf('context', circumstances);
  if (isRefusal(context)) return context;
  const asserted = [...named('action', action.record), ...named('context', context.record)];
  if (!parameters) return { context: context.record, asserted };
  if (Object.hasOwn(context.record, 'action'))
    return refuse('request_malformed', 'context.action is where action.properties go');
  return { context: { ...context.record, action: action.record }, asserted };
}

/** Wrapped, since a caller's record may have a member that makes it look like a refusal. */
function recordOf(
  what: string,
  struct: WireStruct | null | undefined,
): { readonly record: AttributeRecord } | Refusal {
  if (!struct) return { record: {} };
  const json = structOf(struct);
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
