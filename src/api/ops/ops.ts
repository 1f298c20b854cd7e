import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { ShadowReport } from '../../pdp/shadow-report.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Clock } from '../../pdp/ports.ts';
import { callerOn } from '../caller.ts';
import {
  HTTP_LIMITS,
  type HttpListener,
  type HttpListenerOptions,
  startHttpListener,
} from '../http/http-listener.ts';
import { type Gate, OpsRefusal, readDigest, rolloutRefusal } from './ops-admin.ts';
import { shadowPage } from './shadow-page.ts';

/** Whether we can decide, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in words for an operator. */
  readonly problems: readonly string[];
  /** What is amiss without keeping us from deciding. */
  readonly warnings?: readonly string[];
  /** What is in force. */
  readonly details: { readonly [name: string]: string | number };
}

/** Policy rollout, as operators steer it. */
export interface Rollout {
  /** Both slots, as JSON. */
  policies(): object;
  /** What shadow evaluation has seen; `undefined` where no candidate is configured. */
  shadow(): ShadowReport | undefined;
  /** Puts the candidate in force and returns what happened, as JSON. Rejects with `PdpError` where it cannot. */
  promote(digest: string | undefined): Promise<object>;
  /** Undoes the newest promotion. Rejects with `PdpError` where it cannot. */
  rollback(digest: string | undefined): Promise<object>;
}

/** What the ops surface shows. */
export interface OpsParts extends Omit<HttpListenerOptions, 'surface'> {
  readonly clock: Clock;
  readiness(): Readiness;
  /** Metrics in the Prometheus text format. */
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  readonly rollout: Rollout;
  readonly gate: Gate;
}

/**
 * Serves `/livez` (the event loop turns), `/readyz` (we can decide), `/metrics`, `/policies`, `/shadow` and `/shadow.html`, and takes
 * promotions and rollbacks of policies. Over mutual TLS, callers that are not on the allow list get 403. Rejects where the address cannot
 * be bound, and as `startTlsListener` does.
 */
export async function startOpsServer(parts: OpsParts): Promise<HttpListener> {
  const routes = routesOf(parts);
  const server = createServer(HTTP_LIMITS, (request, response) => {
    const { refusal } = callerOn(request.socket, parts.tls === undefined, parts.clock.now());
    if (refusal) return send(response, text(403, refusal.detail ?? refusal.refusal));
    answer(routes, request).then(
      (sent) => send(response, sent),
      (error: unknown) => send(response, refusalOf(error)),
    );
  });
  return await startHttpListener(server, { ...parts, surface: 'ops' });
}

interface Sent {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Route {
  readonly method: 'GET' | 'POST';
  answer(request: IncomingMessage): Sent | Promise<Sent>;
}

function routesOf(parts: OpsParts): ReadonlyMap<string, Route> {
  const { rollout, gate } = parts;
  const get = (answer: Route['answer']): Route => ({ method: 'GET', answer });
  const post = (run: (digest: string | undefined) => Promise<object>): Route => ({
    method: 'POST',
    async answer(request) {
      gate.mayChange(request);
      return json(200, await run(await readDigest(request)));
    },
  });
  const seen = (request: IncomingMessage): ShadowReport => {
    gate.mayRead(request);
    const report = rollout.shadow();
    if (report) return report;
    throw new OpsRefusal(404, 'no candidate is configured (policies.candidate)');
  };
  return new Map([
    ['/livez', get(() => text(200, 'ok'))],
    ['/readyz', get(() => readyOf(parts.readiness()))],
    ['/metrics', get(async () => ({ status: 200, ...(await parts.metrics()) }))],
    ['/policies', get(() => json(200, rollout.policies()))],
    ['/shadow', get((request) => json(200, seen(request)))],
    ['/shadow.html', get((request) => page(shadowPage(seen(request))))],
    ['/policies/promote', post((digest) => rollout.promote(digest))],
    ['/policies/rollback', post((digest) => rollout.rollback(digest))],
  ]);
}

function readyOf(readiness: Readiness): Sent {
  return json(readiness.ready ? 200 : 503, readiness);
}

async function answer(routes: ReadonlyMap<string, Route>, request: IncomingMessage): Promise<Sent> {
  const route = routes.get(request.url ?? '/');
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (!route) return text(404, `try ${[...routes.keys()].join(', ')}`);
  if (method === route.method) return route.answer(request);
  return { ...text(405, `only ${route.method}`), headers: { allow: route.method } };
}

function refusalOf(error: unknown): Sent {
  const refusal = error instanceof PdpError ? rolloutRefusal(error) : error;
  if (!(refusal instanceof OpsRefusal)) return text(500, 'internal error');
  return { ...text(refusal.status, refusal.message), headers: refusal.headers };
}

function text(status: number, words: string): Sent {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${words}\n` };
}

function json(status: number, value: object): Sent {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}

/** The page has no script and fetches nothing, and says so to the browser. */
function page(body: string): Sent {
  const headers = {
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  };
  return { status: 200, contentType: 'text/html; charset=utf-8', body, headers };
}

function send(response: ServerResponse, { status, contentType, body, headers }: Sent): void {
  response
    .writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store', ...headers })
    .end(body);
}
