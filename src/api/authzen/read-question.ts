import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { PlainQuestion, PlainRecord } from '../question/question-reader.ts';

type Json = Readonly<Record<string, unknown>>;

/** A subject by type and id; or, which the standard has no place for, by a token that proves it: then type and id are `''`. */
export interface SaidSubject {
  readonly type: string;
  readonly id: string;
  readonly properties?: PlainRecord;
  readonly token?: string;
  readonly deviceAssertion?: string;
}

/** A question of a request to the Access Evaluation APIs; parts may be missing, what is there has the right types. */
export interface SaidQuestion {
  readonly subject?: SaidSubject;
  readonly action?: { readonly name: string; readonly properties?: PlainRecord };
  readonly resource?: { readonly type: string; readonly id: string; readonly properties?: PlainRecord };
  readonly context?: PlainRecord;
}

/**
 * Reads the four members of the information model (AuthZEN §5) that are there. Unknown members are ignored; one of a wrong type is refused as
 * `request_malformed`. `without`: a member of a part that is not needed, and ignored where it is there (§8.1).
 */
export function readQuestion(json: Json, without?: 'subject.id' | 'resource.id'): SaidQuestion | Refusal {
  const subject = subjectIn(json, without === 'subject.id');
  if (isRefusal(subject)) return subject;
  const action = actionIn(json);
  if (isRefusal(action)) return action;
  const resource = entityIn(json, 'resource', without === 'resource.id');
  if (isRefusal(resource)) return resource;
  const context = recordIn(json, 'context', 'context');
  if (isRefusal(context)) return context;
  return {
    ...(subject.value && { subject: subject.value }),
    ...(action.value && { action: action.value }),
    ...(resource.value && { resource: resource.value }),
    ...(context.value && { context: context.value }),
  };
}

/** The question in the form that all wires share. */
export function plainQuestionOf({ subject, action, resource, context }: SaidQuestion): PlainQuestion {
  return {
    ...(subject && { subject: { token: '', deviceAssertion: '', ...subject } }),
    ...(action && { action }),
    ...(resource && { resource }),
    ...(context && { context }),
  };
}

/** Wrapped, since what is read may look like a refusal. */
type Read<T> = { readonly value?: T } | Refusal;

function subjectIn(json: Json, withoutId: boolean): Read<SaidSubject> {
  const part = recordIn(json, 'subject', 'subject');
  if (isRefusal(part)) return part;
  const { token, device_assertion: deviceAssertion = '' } = part.value ?? {};
  if (typeof deviceAssertion !== 'string')
    return wrong('subject.device_assertion', 'a string', deviceAssertion);
  if (token === undefined) {
    const named = entityIn(json, 'subject', withoutId);
    if (isRefusal(named) || !named.value) return named;
    return { value: { ...named.value, deviceAssertion } };
  }
  if (typeof token !== 'string' || token === '') return wrong('subject.token', 'a token', token);
  const { type = '', id = '', properties } = part.value ?? {};
  if (type !== '' || id !== '' || properties !== undefined)
    return refuse('request_malformed', 'a subject with a token has no type, id or properties beside it');
  return { value: { type: '', id: '', token, deviceAssertion } };
}

function entityIn(
  json: Json,
  name: 'subject' | 'resource',
  withoutId: boolean,
): Read<NonNullable<SaidQuestion['resource']>> {
  const part = recordIn(json, name, name);
  if (isRefusal(part) || !part.value) return part as Refusal | { value?: never };
  const { type, id } = part.value;
  if (typeof type !== 'string') return wrong(`${name}.type`, 'a string', type);
  if (!withoutId && typeof id !== 'string') return wrong(`${name}.id`, 'a string', id);
  const properties = recordIn(part.value, 'properties', `${name}.properties`);
  if (isRefusal(properties)) return properties;
  const named = { type, id: withoutId ? '' : String(id) };
  return { value: { ...named, ...(properties.value && { properties: properties.value }) } };
}

function actionIn(json: Json): Read<NonNullable<SaidQuestion['action']>> {
  const part = recordIn(json, 'action', 'action');
  if (isRefusal(part) || !part.value) return part as Refusal | { value?: never };
  const { name } = part.value;
  if (typeof name !== 'string') return wrong('action.name', 'a string', name);
  const properties = recordIn(part.value, 'properties', 'action.properties');
  if (isRefusal(properties)) return properties;
  return { value: { name, ...(properties.value && { properties: properties.value }) } };
}

function recordIn(json: Json, name: string, path: string): Read<PlainRecord> {
  const value = Object.hasOwn(json, name) ? json[name] : undefined;
  if (value === undefined || value === null) return {};
  return isRecord(value) ? { value } : wrong(path, 'an object', value);
}

function wrong(path: string, expected: string, value: unknown): Refusal {
  return refuse(
    'request_malformed',
    value === undefined || value === null ? `${path} is missing` : `${path} must be ${expected}`,
  );
}
