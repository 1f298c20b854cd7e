import { status } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import type { Grant } from '../../../../src/api/question/grants.ts';
import { type DecisionServiceParts, DecisionService } from '../../../../src/api/decision-service/service.ts';
import { ExtAuthzService } from '../../../../src/api/ext-authz/service.ts';
import { startGrpcServer } from '../../../../src/api/grpc-server.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { loadDecisionServiceTypes } from '../../../../src/api/protos.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { EXT_AUTHZ_TYPES } from '../../../support/requests.ts';
import { SAMPLE_SCHEMA } from '../../../support/snapshot.ts';
import { type Setup, setUp } from '../../pdp/decision-point.ts';
import { type CallOptions, connect } from '../grpc-client.ts';

export const TYPES = loadDecisionServiceTypes();

/** The domain of a shop: what an application would ask about. */
export const SHOP_SCHEMA = `
  namespace Shop {
    entity Customer = { tier?: String };
    entity Order = { owner?: String, status?: String, total?: Long, tags?: Set<String>, box?: { size: Long } };
    type Facts = {
      mtls: Bool,
      source?: ZeroTrust::Workload,
      user?: ZeroTrust::User,
      token?: { issuer: String },
      now?: datetime,
      ip?: ipaddr,
      reason?: String,
      action?: { soft?: Bool },
    };
    action view, edit, "delete" appliesTo {
      principal: [ZeroTrust::User, ZeroTrust::Workload, Customer],
      resource: [Order],
      context: Facts,
    };
  }
`;

/** Orders are seen by their owner. */
export const OWNERS = `
  @id("owner") permit(principal, action == Shop::Action::"view", resource is Shop::Order)
  when { principal is ZeroTrust::User && resource has owner && resource.owner == principal.subject };
  @id("closed") @reason("the order is closed")
  forbid(principal, action, resource is Shop::Order) when { resource has status && resource.status == "closed" };
`;

/** All that callers of the plaintext listener of a test may ask. */
export const GRANT: Grant = {
  callers: 'plaintext',
  subjects: new Set(['ZeroTrust::User', 'ZeroTrust::Workload', 'Shop::Customer']),
  resources: new Set(['Shop::Order']),
  search: new Set(),
  properties: new Set(['subject.*', 'action.*', 'resource.*', 'context.*']),
};

type Json = { readonly [name: string]: unknown };

/** A record as a `google.protobuf.Struct` message. */
export function struct(record: Json): object {
  return {
    fields: Object.fromEntries(Object.entries(record).map(([name, value]) => [name, valueOf(value)])),
  };
}

function valueOf(value: unknown): object {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Array.isArray(value)
    ? { listValue: { values: value.map(valueOf) } }
    : { structValue: struct(value as Json) };
}

/** What is special about one question. */
export interface Asked {
  readonly subject?: object | null;
  readonly action?: object | string | null;
  readonly resource?: object | null;
  readonly properties?: Json;
  readonly context?: Json;
}

/** A question: demo/alice, on the word of the caller, views an order of hers. */
export function question({ subject, action, resource, properties, context }: Asked = {}): object {
  return {
    subject: subject === undefined ? { type: 'ZeroTrust::User', id: 'demo/alice' } : subject,
    action: typeof action === 'object' ? action : { name: action ?? 'view' },
    resource:
      resource === undefined
        ? { type: 'Order', id: '17', properties: struct(properties ?? { owner: 'alice' }) }
        : resource,
    ...(context && { context: struct(context) }),
  };
}

/** What a call came to. */
export interface Outcome {
  /** google.rpc.Code; 0: answered. */
  readonly code: number;
  readonly details: string;
  /** The decoded message of an answer. */
  readonly answer: Json;
  /** `x-pdp-decision-id` of an error. */
  readonly errorId: string | undefined;
}

type Method = 'Check' | 'BatchCheck' | 'Explain';

/** A decision service over the decision point of a fixture. */
export function decisionServiceOf(
  { point, snapshot }: Pick<ReturnType<typeof setUp>, 'point' | 'snapshot'>,
  parts: Partial<DecisionServiceParts> = {},
): DecisionService {
  return new DecisionService({
    decisionPoint: point,
    clock: MACHINE_CLOCK,
    inFlight: new InFlight(100),
    timeoutMs: 2000,
    maxRequestBytes: 1024 * 1024,
    onEncoded: () => undefined,
    onFault: () => undefined,
    snapshots: { current: () => snapshot() },
    types: TYPES,
    decoding: {
      namespace: 'Shop',
      pipSubjects: new Map([['Shop::Order', ['order']]]),
      assertionHeader: 'x-device-assertion',
      parseSpiffeId: (text) => {
        const identity = parseSpiffeId(text);
        return 'invalid' in identity ? undefined : identity;
      },
    },
    access: { plaintext: true, grants: [GRANT], explains: () => true },
    batchTimeoutMs: 5000,
    maxBatchItems: 1000,
    ...parts,
  });
}

/** Both services of one listener over one decision point, and a client of it. */
export async function serve(
  setup: Setup = {},
  parts: Omit<Partial<DecisionServiceParts>, 'access'> & {
    access?: Partial<DecisionServiceParts['access']>;
  } = {},
) {
  const fixture = setUp({
    clock: MACHINE_CLOCK,
    policies: OWNERS,
    schema: `${SAMPLE_SCHEMA}\n${SHOP_SCHEMA}`,
    ...setup,
  });
  const { access, ...others } = parts;
  const inFlight = parts.inFlight ?? new InFlight(100);
  const faults: unknown[] = [];
  const common = {
    decisionPoint: fixture.point,
    clock: MACHINE_CLOCK,
    inFlight,
    timeoutMs: parts.timeoutMs ?? 2000,
    maxRequestBytes: 1024 * 1024,
    onEncoded: () => undefined,
    onFault: (error: unknown) => void faults.push(error),
  };
  const decisions = decisionServiceOf(fixture, {
    ...common,
    access: { plaintext: true, grants: [GRANT], explains: () => true, ...access },
    ...others,
  });
  const extAuthz = new ExtAuthzService({
    ...common,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    plaintext: true,
  });
  const server = await startGrpcServer(extAuthz, {
    address: '127.0.0.1:0',
    maxReceiveBytes: 1024 * 1024,
    decisions,
  });
  const client = connect(server.address);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await server.stop(100);
  });
  const bytes = async (method: Method, message: Uint8Array, options?: CallOptions): Promise<Outcome> => {
    try {
      const answer = await client.unary(`/pdp.v1.DecisionService/${method}`, message, options);
      const type = TYPES[`${method}Response`];
      const object = type.toObject(type.decode(answer), { enums: String, longs: Number, arrays: true });
      return { code: status.OK, details: '', answer: object, errorId: undefined };
    } catch (error) {
      const { code, details, metadata } = error as {
        code: number;
        details: string;
        metadata: { get(name: string): string[] };
      };
      return { code, details, answer: {}, errorId: metadata.get('x-pdp-decision-id')[0] };
    }
  };
  const call = (method: Method, message: object, options?: CallOptions) => {
    const type = TYPES[`${method}Request`];
    return bytes(method, type.encode(type.fromObject(message)).finish(), options);
  };
  return {
    ...fixture,
    server,
    client,
    faults,
    inFlight,
    bytes,
    check: (asked: Asked = {}, options?: CallOptions) => call('Check', question(asked), options),
    call,
  };
}
