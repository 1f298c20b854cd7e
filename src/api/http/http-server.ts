import { STATUS_CODES, createServer } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type CallerList, callerOn } from '../caller.ts';
import {
  HTTP_LIMITS,
  type HttpListener,
  type HttpListenerOptions,
  startHttpListener,
} from './http-listener.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `own`: the route looks itself at who may call; whoever it is has been verified all the same. */
    readonly callers?: CallerList;
  }
}

/** What the HTTP surface serves, and how. */
export interface HttpServerParts extends Omit<HttpListenerOptions, 'surface'> {
  readonly clock: Clock;
  readonly log: Log;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** What is served; nothing: the surface stays closed. */
  readonly routes: readonly HttpRoutes[];
}

/** Adds routes to the HTTP surface; callers over mutual TLS that are not on the allow list do not get that far. */
export type HttpRoutes = (app: FastifyInstance) => void;

/** Opens the HTTP surface; `undefined` where nothing is to be served on it. Rejects where the address cannot be bound. */
export async function startHttpServer(parts: HttpServerParts): Promise<HttpListener | undefined> {
  if (parts.routes.length === 0) return undefined;
  const app = await createApp(parts);
  for (const addTo of parts.routes) addTo(app);
  await app.ready();
  const listener = await startHttpListener(app.server, { ...parts, surface: 'http' });
  return {
    address: listener.address,
    drain: (graceMs) => listener.drain(graceMs),
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]();
      await app.close();
    },
  };
}

async function createApp(parts: HttpServerParts): Promise<FastifyInstance> {
  // Not before somebody wants the surface: loading it is a good part of a start.
  const { fastify } = await import('fastify');
  const app = fastify({
    serverFactory: (handler) => createServer(HTTP_LIMITS, handler),
    bodyLimit: parts.maxBodyBytes,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    clientErrorHandler: (_error, socket) => refuseUnreadable(socket),
  });
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-content-type-options', 'nosniff');
    const list = request.routeOptions.config.callers ?? 'surface';
    const { refusal } = callerOn(request.socket, parts.tls === undefined, list, parts.clock.now());
    if (refusal) return sendProblem(reply, 403, refusal.detail);
  });
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 404));
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status < 500) return sendProblem(reply, status, wordsOf(error, request.routeOptions.bodyLimit));
    parts.log.error({ err: error }, 'an HTTP request failed in a way that it should not');
    return sendProblem(reply, 500);
  });
  return app;
}

/** Words of our own: a parser's message may quote the body. */
function wordsOf({ code }: FastifyError, maxBodyBytes: number): string | undefined {
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return `the body is larger than ${maxBodyBytes} bytes`;
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'the body must be application/json';
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return 'the body is empty';
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return 'the body is not JSON that is accepted here';
    default:
      return undefined;
  }
}

/** RFC 9457. */
function problemOf(status: number, detail?: string): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    ...(detail !== undefined && { detail }),
  });
}

/** Answers with a problem (RFC 9457) in our own words. */
export function sendProblem(reply: FastifyReply, status: number, detail?: string): FastifyReply {
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send(problemOf(status, detail));
}

function refuseUnreadable(socket: Socket): void {
  if (!socket.writable) return void socket.destroy();
  const body = problemOf(400);
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}`;
  socket.end(`${head}\r\nconnection: close\r\n\r\n${body}`);
}
