import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { ShadowReport } from '../../pdp/shadow-report.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Pep } from '../../pdp/access-request.ts';
import type { Clock } from '../../pdp/ports.ts';
import { callerOn } from '../caller.ts';
import {
  HTTP_LIMITS,
  type HttpListener,
  type HttpListenerOptions,
  startHttpListener,
} from '../http/http-listener.ts';
import { type Gate, OpsRefusal, faultRefusal, readDigest } from './ops-admin.ts';
import { type Route, type Sent, json, text } from './ops-route.ts';
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
  policies(): object | Promise<object>;
  /** What shadow evaluation has seen; `undefined` where no candidate is configured. */
  shadow(): ShadowReport | undefined | Promise<ShadowReport | undefined>;
  /** Puts the candidate in force and returns what happened, as JSON. Rejects with `PdpError` where it cannot. */
  promote(digest: string | undefined): Promise<object>;
  /** Undoes the newest promotion. Rejects with `PdpError` where it cannot. */
  rollback(digest: string | undefined): Promise<object>;
}

/** What the ops surface shows. */
export interface OpsParts extends Omit<HttpListenerOptions, 'surface'> {
  readonly clock: Clock;
  readiness(): Readiness | Promise<Readiness>;
  /** Metrics in the Prometheus text format. */
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  readonly rollout: Rollout;
  readonly gate: Gate;
  /** Routes of other capabilities, by path. */
  readonly more?: ReadonlyMap<string, readonly Route[]>;
}

/**
 * Serves `/livez` (the event loop turns), `/readyz` (we can decide), `/metrics`, `/policies`, `/shadow` and `/shadow.html`, and takes
 * promotions and rollbacks of policies. Over mutual TLS, callers that are not on the allow list get 403. Rejects where the address cannot
 * be bound, and as `startTlsListener` does.
 */
export async function startOpsServer(parts: OpsParts): Promise<HttpListener> {
  const routes = routesOf(parts);
  const plaintext = parts.tls === undefined;
  const server = createServer(HTTP_LIMITS, (request, response) => {
    const route = findRoute(routes, request);
    const list = 'callers' in route ? route.callers : 'surface';
    const { refusal, pep } = callerOn(request.socket, plaintext, list, parts.clock.now());
    if (refusal) return send(response, text(403, refusal.detail ?? refusal.refusal));
    if (!('answer' in route)) return send(response, route);
    answer(route, request, pep).then(
      (sent) => send(response, sent),
      (error: unknown) => send(response, refusalOf(error)),
    );
  });
  return await startHttpListener(server, { ...parts, surface: 'ops' });
}

function routesOf(parts: OpsParts): ReadonlyMap<string, readonly Route[]> {
  const { rollout, gate } = parts;
  const get = (answer: Route['answer']): Route => ({ method: 'GET', answer });
  const post = (run: (digest: string | undefined) => Promise<object>): Route => ({
    method: 'POST',
    async answer(request) {
      gate.mayChange(request);
      return json(200, await run(await readDigest(request)));
    },
  });
  const seen = async (request: IncomingMessage): Promise<ShadowReport> => {
    gate.mayRead(request);
    const report = await rollout.shadow();
    if (report) return report;
    throw new OpsRefusal(404, 'no candidate is configured (policies.candidate)');
  };
  return new Map([
    ['/livez', [get(() => text(200, 'ok'))]],
    ['/readyz', [get(async () => readyOf(await parts.readiness()))]],
    ['/metrics', [get(async () => ({ status: 200, ...(await parts.metrics()) }))]],
    ['/policies', [get(async () => json(200, await rollout.policies()))]],
    ['/shadow', [get(async (request) => json(200, await seen(request)))]],
    ['/shadow.html', [get(async (request) => page(shadowPage(await seen(request))))]],
    ['/policies/promote', [post((digest) => rollout.promote(digest))]],
    ['/policies/rollback', [post((digest) => rollout.rollback(digest))]],
    ...(parts.more ?? []),
  ]);
}

function readyOf(readiness: Readiness): Sent {
  return json(readiness.ready ? 200 : 503, readiness);
}

/** The route of a request, or what is answered where there is none. */
function findRoute(
  routes: ReadonlyMap<string, readonly Route[]>,
  { url = '/', method }: IncomingMessage,
): Route | Sent {
  const found = routes.get(url) ?? routes.get(url.replace(/\?.*$/s, ''))?.filter(({ query }) => query);
  if (!found || found.length === 0) return text(404, `try ${[...routes.keys()].join(', ')}`);
  const wanted = method === 'HEAD' ? 'GET' : method;
  const allow = found.map((route) => route.method).join(', ');
  return (
    found.find((route) => route.method === wanted) ?? { ...text(405, `only ${allow}`), headers: { allow } }
  );
}

async function answer(route: Route, request: IncomingMessage, pep: Pep): Promise<Sent> {
  return await route.answer(request, pep);
}

function refusalOf(error: unknown): Sent {
  const refusal = error instanceof PdpError ? faultRefusal(error) : error;
  if (!(refusal instanceof OpsRefusal)) return text(500, 'internal error');
  return { ...text(refusal.status, refusal.message), headers: refusal.headers };
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
