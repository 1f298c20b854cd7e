import type { FastifyError, FastifyReply } from 'fastify';
import { PdpError } from '../../pdp/errors.ts';
import { type HttpRoutes, sendProblem } from '../http/http-server.ts';

/** Codes of refusals (RFC 8935 §2.4; `invalid_state` is that of SSF 1.0 §8.1.4). */
export type SetRefusalCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied'
  | 'invalid_state';

/** Why a SET is refused. */
export interface SetRefusal {
  readonly err: SetRefusalCode;
  /** Words of our own, in English. */
  readonly description: string;
}

/** A stream whose transmitter pushes. */
export interface PushedStream {
  readonly name: string;
  /** Whether the `authorization` of a request is that of the transmitter. */
  authorizes(authorization: string | undefined): boolean;
  /** Takes a SET; resolves when its effects are durable. Rejects with `PdpError` where it is to be sent again. */
  receive(set: string): Promise<{ readonly accepted: true } | SetRefusal>;
  /** Told of a request that was refused before there was a SET to look at. */
  onRefused(refusal: SetRefusal): void;
}

const MEDIA_TYPE = 'application/secevent+jwt';
/** Longest SET that is read, in bytes: as long as a token may be, and a line feed. */
const MAX_SET_BYTES = 16 * 1024 + 2;
/** How soon a transmitter may try again, in s. */
const RETRY_AFTER_S = 5;

/**
 * Receives SETs at `/events/<name of the stream>` (RFC 8935): 202 when the effects are durable, 400 with `err` and `description` where the SET
 * is refused for good, 503 where it is to be sent again.
 */
export function eventPushRoutes(streams: readonly PushedStream[]): HttpRoutes {
  const byName = new Map(streams.map((stream) => [stream.name, stream]));
  return (app) => {
    void app.register((scope, _options, done) => {
      // No other type is read on these paths, and no other path reads this one.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser(
        MEDIA_TYPE,
        { parseAs: 'string', bodyLimit: MAX_SET_BYTES },
        (_request, body, parsed) => parsed(null, body),
      );
      scope.setErrorHandler<FastifyError>((error, _request, reply) => refuseRequest(reply, error));
      scope.post<{ Params: { stream: string } }>('/events/:stream', async (request, reply) => {
        const stream = byName.get(request.params.stream);
        if (!stream) return sendProblem(reply, 404);
        if (!stream.authorizes(request.headers.authorization)) return refuse(reply, stream, UNAUTHENTICATED);
        const { body } = request;
        if (typeof body !== 'string' || body === '') return refuse(reply, stream, EMPTY);
        const answer = await stream.receive(body);
        return 'accepted' in answer ? reply.code(202).send() : sendRefusal(reply, answer);
      });
      done();
    });
  };
}

const UNAUTHENTICATED: SetRefusal = {
  err: 'authentication_failed',
  description: 'the authorization of the request is not that of the transmitter',
};
const EMPTY: SetRefusal = { err: 'invalid_request', description: 'the request has no SET' };

function refuse(reply: FastifyReply, stream: PushedStream, refusal: SetRefusal): FastifyReply {
  stream.onRefused(refusal);
  return sendRefusal(reply, refusal);
}

function sendRefusal(reply: FastifyReply, { err, description }: SetRefusal): FastifyReply {
  return reply
    .code(400)
    .header('cache-control', 'no-store')
    .header('content-language', 'en')
    .type('application/json')
    .send(JSON.stringify({ err, description }));
}

/** What came to nothing is sent again: nothing is lost. */
function refuseRequest(reply: FastifyReply, error: FastifyError | PdpError): FastifyReply {
  if (error instanceof PdpError) {
    void reply.header('retry-after', RETRY_AFTER_S);
    return sendProblem(reply, 503, 'the event cannot be stored now; send it again');
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return sendProblem(reply, 415, `the body must be ${MEDIA_TYPE}`);
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return sendProblem(reply, 413, `the body is larger than ${MAX_SET_BYTES} bytes`);
  throw error;
}
