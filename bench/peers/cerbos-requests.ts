import protobuf from 'protobufjs';
import { type RequestFrames, requestFrames } from '../load/h2-connection.ts';

const PATH = '/cerbos.svc.v1.CerbosService/CheckResources';

/** The fields of Cerbos' CheckResources that a single check needs, by the numbers of its API. */
const PROTO = `syntax = "proto3";
message CheckResourcesRequest { string request_id = 1; Principal principal = 3; repeated Entry resources = 4; AuxData aux_data = 5; }
message Entry { repeated string actions = 1; Resource resource = 2; }
message Principal { string id = 1; repeated string roles = 3; map<string, Value> attr = 4; }
message Resource { string kind = 1; string id = 3; map<string, Value> attr = 4; }
message AuxData { Jwt jwt = 1; }
message Jwt { string token = 1; string key_set_id = 2; }
message Value { oneof kind { double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; List list_value = 6; } }
message Struct { map<string, Value> fields = 1; }
message List { repeated Value values = 1; }
message CheckResourcesResponse { string request_id = 1; repeated Result results = 2; }
message Result { map<string, int32> actions = 2; }`;

const { root } = protobuf.parse(PROTO);
const Request = root.lookupType('CheckResourcesRequest');
const Response = root.lookupType('CheckResourcesResponse');
/** `EFFECT_ALLOW`. */
const ALLOW = 1;

type Json = string | number | boolean | readonly Json[] | { readonly [name: string]: Json };

/** One action on one resource. */
export interface SingleCheck {
  readonly id: string;
  readonly role: string;
  readonly attr?: Readonly<Record<string, Json>>;
  readonly kind: string;
  readonly action: string;
  readonly path: string;
  readonly token?: string;
}

/** Frames of a call with one check. */
export function cerbosFrames({ id, role, attr = {}, kind, action, path, token }: SingleCheck): RequestFrames {
  const request = {
    requestId: '8d1e5f3a-52b1-4a6d-9c3e-1f2e3d4c5b6a',
    principal: { id, roles: [role], attr: fields(attr) },
    resources: [{ actions: [action], resource: { kind, id: path, attr: fields({ path }) } }],
    ...(token && { auxData: { jwt: { token, keySetId: 'bench' } } }),
  };
  return requestFrames(PATH, Buffer.from(Request.encode(Request.fromObject(request)).finish()));
}

function fields(attr: Readonly<Record<string, Json>>): object {
  return Object.fromEntries(Object.entries(attr).map(([name, value]) => [name, valueOf(value)]));
}

function valueOf(value: Json): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(valueOf) } };
  return { structValue: { fields: fields(value as Readonly<Record<string, Json>>) } };
}

/** 0 where all actions are allowed, 7 where not; `undefined` where it is no answer. */
export function cerbosCode(data: Buffer): number | undefined {
  if (data.length <= 5) return undefined;
  try {
    const { results = [] } = Response.toObject(Response.decode(data.subarray(5))) as {
      results?: { actions?: Record<string, number> }[];
    };
    const effects = results.flatMap(({ actions = {} }) => Object.values(actions));
    return effects.length > 0 && effects.every((effect) => effect === ALLOW) ? 0 : 7;
  } catch {
    return undefined;
  }
}
