import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { HttpRoutes } from '../http/http-server.ts';
import { type Arrival, arrive } from './arrival.ts';
import { type Answer, type EvaluationParts, Evaluations, type Message } from './evaluations.ts';
import { OPENAPI_PATH, openApiDocument } from './openapi.ts';
import { readJsonObject } from './json-body.ts';
import { type SearchParts, Searches } from './searches.ts';
import { AUTHZEN_PATHS, authzenMetadata, metadataPaths } from './metadata.ts';

/** What the OpenID AuthZEN Authorization API 1.0 needs. */
export interface AuthzenParts extends EvaluationParts, SearchParts {
  /** URL by which callers know us, without a slash at its end; absent: there is no metadata. */
  readonly baseUrl?: string;
  /** Our own limit on one question, in ms. */
  readonly timeoutMs: number;
  /** The same on a batch. */
  readonly batchTimeoutMs: number;
  /** The same on one page of a search. */
  readonly searchTimeoutMs: number;
}

const SEARCHES = [
  [AUTHZEN_PATHS.subjects, 'subject'],
  [AUTHZEN_PATHS.resources, 'resource'],
  [AUTHZEN_PATHS.actions, 'action'],
] as const;

/** The message is read late: who may not ask, or comes when there is no room, costs no parsing. */
type Answering = (message: () => Message, arrival: Arrival) => Promise<Answer>;

/** Serves the OpenID AuthZEN Authorization API 1.0 in its HTTPS binding (§10). */
export function authzenRoutes(parts: AuthzenParts): HttpRoutes {
  const evaluations = new Evaluations(parts);
  const searches = new Searches(parts);
  const { timeoutMs, batchTimeoutMs, searchTimeoutMs } = parts;
  return (app) => {
    void app.register(async (scope) => {
      acceptAnyBody(scope);
      scope.setErrorHandler<FastifyError>(async (error, request, reply) => {
        const refusal = unheardRefusal(error);
        if (!refusal) throw error;
        const answered = await arrive(parts, request, timeoutMs, (arrival) =>
          evaluations.one(() => refusal, arrival),
        );
        return send(reply, answered);
      });
      const { baseUrl } = parts;
      if (baseUrl !== undefined)
        for (const path of metadataPaths(baseUrl)) serveDocument(scope, path, authzenMetadata(baseUrl));
      serveDocument(scope, OPENAPI_PATH, openApiDocument(baseUrl));
      const post = (path: string, limitMs: number, answer: Answering) =>
        scope.post(path, { config: { callers: 'own' } }, async (request, reply) => {
          const apart = path === AUTHZEN_PATHS.evaluations ? 'evaluations' : undefined;
          const message = () => readJsonObject(request.headers['content-type'], request.body, apart);
          const answered = await arrive(parts, request, limitMs, (arrival) => answer(message, arrival));
          return send(reply, answered);
        });
      post(AUTHZEN_PATHS.evaluation, timeoutMs, (message, arrival) => evaluations.one(message, arrival));
      post(AUTHZEN_PATHS.evaluations, batchTimeoutMs, (message, arrival) =>
        evaluations.many(message, arrival),
      );
      for (const [path, searched] of SEARCHES)
        post(path, searchTimeoutMs, (message, arrival) => searches.page(searched, message, arrival));
    });
  };
}

/** Why a message did not get as far as being read; `undefined`: for some reason of ours. */
function unheardRefusal({ code, statusCode = 500 }: FastifyError): Refusal | undefined {
  if (code === 'ECONNRESET') return refuse('cancelled', 'the message did not come whole');
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return refuse('request_malformed', 'the body is larger than this service reads');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return refuse('request_malformed', 'the content type must be application/json');
  return statusCode < 500 ? refuse('request_malformed', 'the body cannot be read') : undefined;
}

/** Of whatever type: what is wrong with a message is answered as the standard wants it, and recorded. */
function acceptAnyBody(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  scope.addHook('onRequest', echoRequestId);
}

/** AuthZEN §10.1.4. */
async function echoRequestId(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const id = request.headers['x-request-id'];
  if (typeof id === 'string' && id !== '') void reply.header('x-request-id', id);
}

function serveDocument(scope: FastifyInstance, path: string, document: object): void {
  scope.get(path, { config: { callers: 'own' } }, (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').type('application/json').send(document),
  );
}

const CHALLENGE = 'Bearer realm="cedar-pdp"';

/** AuthZEN §10.1.1: the body of an error is its message. */
function send(reply: FastifyReply, answer: Answer): FastifyReply {
  void reply.header('cache-control', 'no-store');
  if ('body' in answer) return reply.type('application/json').send(answer.body);
  const { status, message, decisionId } = answer.none;
  if (status === 401) void reply.header('www-authenticate', CHALLENGE);
  return reply
    .code(status)
    .header('x-pdp-decision-id', decisionId)
    .type('text/plain; charset=utf-8')
    .send(message);
}
