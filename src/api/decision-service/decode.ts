import type protobuf from 'protobufjs';
import { refuse } from '../../pdp/decision.ts';
import type { PlainQuestion } from '../question/question-reader.ts';
import { type WireStruct, structOf } from '../struct.ts';

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

/** Reads one message. Bytes that are none are refused as `request_malformed`; nothing is thrown. */
export function decodeMessage(bytes: Uint8Array, type: protobuf.Type): object {
  try {
    return type.decode(bytes);
  } catch (error) {
    return refuse('request_malformed', `not a ${type.name}: ${(error as Error).message}`);
  }
}

/** The question without its wire: properties and context as plain JSON. Fields that were not sent are on the prototype of a message. */
export function plainQuestion({ subject, action, resource, context }: WireQuestion): PlainQuestion {
  return {
    ...(subject && {
      subject: { ...entityOf(subject), token: subject.token, deviceAssertion: subject.deviceAssertion },
    }),
    ...(action && { action: { name: action.name, properties: recordOf(action.properties) } }),
    ...(resource && { resource: entityOf(resource) }),
    context: recordOf(context),
  };
}

function entityOf({ type, id, properties }: NonNullable<WireQuestion['resource']>) {
  return { type, id, properties: recordOf(properties) };
}

function recordOf(struct: WireStruct | null | undefined): Record<string, unknown> | undefined {
  return struct ? structOf(struct) : undefined;
}
