import type { OutgoingHttpHeaders } from 'node:http2';
import { expect } from 'vitest';
import type { EnvoyConfig, Listener } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { DecisionRecord } from '../support/pdp-process.ts';
import type { SeenRequest } from '../support/upstream.ts';
import { sendHttp1, sendHttp2 } from './raw-http.ts';

/** `ledger-api` hands on what it gets, with raw headers; `edge` normalises as much as Envoy can, and joins headers. */
export const LISTENERS = ['ledger-api', 'edge'] as const satisfies readonly Listener[];
/** The service's name. */
export const HOST = 'ledger-api.mesh.example.com';
/** The one path that the payment API may post to. */
export const PATH = '/internal/entries';

interface Loosened {
  common_http_protocol_options: Record<string, unknown>;
  http2_protocol_options: Record<string, unknown>;
  http_filters: { typed_config: Record<string, unknown> }[];
  route_config: { virtual_hosts: { routes: object[] }[] };
}

/** As careless as a deployment may be: what Envoy would refuse by itself here, it hands on. */
function loosen({ static_resources }: EnvoyConfig): void {
  for (const { name, filter_chains } of static_resources.listeners) {
    for (const { typed_config } of filter_chains.flatMap(({ filters }) => filters)) {
      const manager = typed_config as unknown as Loosened;
      manager.common_http_protocol_options['headers_with_underscores_action'] = 'ALLOW';
      manager.http2_protocol_options['allow_connect'] = true;
      Object.assign(manager, {
        upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }],
      });
      const connectRoute = { match: { connect_matcher: {} }, route: { cluster: 'application' } };
      for (const { routes } of manager.route_config.virtual_hosts) routes.unshift(connectRoute);
      if (name !== 'edge') continue;
      const normalising = { path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD', merge_slashes: true };
      Object.assign(manager, { normalize_path: true, ...normalising });
      for (const filter of manager.http_filters)
        if ('encode_raw_headers' in filter.typed_config) filter.typed_config['encode_raw_headers'] = false;
    }
  }
}

/** What one request came to. */
export interface Outcome {
  readonly status: number | 'reset';
  /** As the service saw it; `undefined`: it never got there. */
  readonly seen: SeenRequest | undefined;
  /** `undefined`: Envoy refused without asking. */
  readonly record: DecisionRecord | undefined;
}

/** An HTTP/1.1 request as its bytes go out. */
export interface Http1 {
  readonly method?: string;
  readonly target?: string;
  readonly host?: string;
  /** Lines as they go out, without `host` and `content-length`. */
  readonly lines?: readonly string[];
}

/** A mesh whose Envoy is as careless as it can be configured, asked by the payment API. */
export interface CarelessMesh extends AsyncDisposable {
  readonly mesh: Mesh;
  http1(to: Listener, request: Http1): Promise<Outcome>;
  http2(to: Listener, headers: OutgoingHttpHeaders): Promise<Outcome>;
  /** What a request that `send` sends comes to. */
  outcomeOf(send: () => Promise<number | 'reset'>): Promise<Outcome>;
}

/** Starts it. */
export async function startCarelessMesh(): Promise<CarelessMesh> {
  const mesh = await startMesh({ editEnvoy: loosen });
  const client = (to: Listener) => ({ mesh, to, as: mesh.workloads.paymentApi });
  const outcomeOf = (send: () => Promise<number | 'reset'>): Promise<Outcome> => outcomeIn(mesh, send);
  return {
    mesh,
    outcomeOf,
    http1: (to, request) => outcomeOf(() => sendHttp1(client(to), textOf(request))),
    http2: (to, headers) =>
      outcomeOf(() =>
        sendHttp2(client(to), { ':method': 'POST', ':authority': HOST, ':path': PATH, ...headers }),
      ),
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}

function textOf({ method = 'POST', target = PATH, host = HOST, lines = [] }: Http1): string {
  const head = [`${method} ${target} HTTP/1.1`, `host: ${host}`, 'content-length: 0', ...lines];
  return `${head.join('\r\n')}\r\n\r\n`;
}

/** What the one request that `send` sends comes to in a mesh. */
export async function outcomeIn(mesh: Mesh, send: () => Promise<number | 'reset'>): Promise<Outcome> {
  const served = mesh.upstream.seen.length;
  const asked = (await mesh.pdp.records(0)).length;
  const status = await send();
  const records = (await mesh.pdp.records(0)).slice(asked);
  const seen = mesh.upstream.seen.slice(served);
  expect(records.length).toBeLessThanOrEqual(1);
  expect(seen.length).toBeLessThanOrEqual(1);
  return { status, seen: seen[0], record: records[0] };
}

/** Asserts that the request ended, at Envoy or at the PDP; with one of `reasons` where the PDP was asked and reasons are given. */
export function expectEnded({ status, seen, record }: Outcome, ...reasons: readonly string[]): void {
  expect(seen).toBeUndefined();
  if (status !== 'reset') expect(status).toBeGreaterThanOrEqual(400);
  if (record === undefined) return;
  expect(record.decision).toBe('DENY');
  if (reasons.length > 0) expect(reasons).toContain(record.reason);
}

/** Asserts a permit whose path the service sees as it was decided on. */
export function expectServed({ status, seen, record }: Outcome, path = PATH): void {
  expect({ status, decision: record?.decision, path: record?.path }).toEqual({
    status: 200,
    decision: 'ALLOW',
    path,
  });
  expect(seen?.path.split('?', 1)[0]).toBe(path);
}

/** Either the request ended, or it was decided on just as the service sees it. */
export function expectAgreed(outcome: Outcome): void {
  if (outcome.seen === undefined) expectEnded(outcome);
  else expectServed(outcome);
}
