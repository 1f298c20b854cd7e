import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Refusal, denyFor, isRefusal } from '../../pdp/decision.ts';
import { PdpError, messageOf } from '../../pdp/errors.ts';
import {
  type Grant,
  type GrantActor,
  type GrantBook,
  type GrantRefusal,
  isGrantRefusal,
} from '../../pdp/grant.ts';
import type { UserIdentity } from '../../pdp/identity.ts';
import type { Log } from '../../pdp/log.ts';
import { type HttpRoutes, sendProblem } from '../http/http-server.ts';
import { wwwAuthenticate } from '../problem.ts';
import { STATUS } from '../status.ts';
import { grantJson, grantListJson } from './grant-json.ts';
import { type Unreadable, readFilter, readNothing, readReason, readWish } from './read-grants.ts';
import { type UserOfCallParts, userOfCall } from './user-of-call.ts';

/** What {@link grantRoutes} needs. */
export interface GrantRoutesParts extends UserOfCallParts {
  readonly book: GrantBook;
  /**
   * All groups of a user as policies name them: of the token, and of the information points. Rejects with `PdpError` where one of these cannot be asked.
   */
  readonly groupsOf: (user: UserIdentity) => Promise<ReadonlySet<string>>;
  /** See `wwwAuthenticate`. */
  readonly realm: string;
  readonly dpopAlgorithms?: readonly string[];
  readonly log: Log;
}

/** More than the longest justification, ticket and names take. */
const BODY_LIMIT = 16 * 1024;

const STATUS_OF = {
  invalid: 400,
  not_allowed: 403,
  unknown: 404,
  conflict: 409,
  too_many: 429,
} as const satisfies Record<GrantRefusal['refused'], number>;

type Verb = (book: GrantBook, by: GrantActor, request: FastifyRequest) => Promise<Answer>;
type Answer = Grant | GrantRefusal | Unreadable;

/**
 * Adds `/grants` to the HTTP surface: POST asks for a grant, GET lists them, POST `/grants/{id}/approve`, `/deny` and `/revoke` change one. The user's token says who
 * asks; refusals are problems (RFC 9457).
 */
export function grantRoutes(parts: GrantRoutesParts): HttpRoutes {
  const options = { bodyLimit: BODY_LIMIT };
  const change = (verb: Verb, status = 200) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> =>
      guarded(parts, reply, async () => {
        if (isFromAnotherSite(request))
          return sendProblem(reply, 403, 'changes are not taken from pages of other sites');
        const by = await actorOf(parts, request);
        if (isRefusal(by)) return refuseUser(parts, reply, by);
        const answer = await verb(parts.book, by, request);
        if ('problem' in answer) return sendProblem(reply, 400, answer.problem);
        if (isGrantRefusal(answer)) return sendProblem(reply, STATUS_OF[answer.refused], answer.detail);
        return sendJson(reply, status, grantJson(answer));
      });
  };
  return (app) => {
    app.post('/grants', options, change(ask, 201));
    app.post('/grants/:id/approve', options, change(approve));
    app.post('/grants/:id/deny', options, change(deny));
    app.post('/grants/:id/revoke', options, change(revoke));
    app.get('/grants', (request, reply) =>
      guarded(parts, reply, async () => {
        const by = await actorOf(parts, request);
        if (isRefusal(by)) return refuseUser(parts, reply, by);
        const filter = readFilter(request.query);
        if ('problem' in filter) return sendProblem(reply, 400, filter.problem);
        return sendJson(reply, 200, grantListJson(parts.book.list(by, filter)));
      }),
    );
  };
}

const ask: Verb = async (book, by, { body }) => {
  const wish = readWish(body);
  return 'problem' in wish ? wish : await book.request(by, wish);
};

const approve: Verb = async (book, by, request) => {
  const nothing = readNothing(request.body);
  return 'problem' in nothing ? nothing : await book.approve(by, idIn(request));
};

const deny: Verb = async (book, by, request) => {
  const read = readReason(request.body, true);
  return 'problem' in read ? read : await book.deny(by, idIn(request), read.reason ?? '');
};

const revoke: Verb = async (book, by, request) => {
  const read = readReason(request.body, false);
  return 'problem' in read ? read : await book.revoke(by, idIn(request), read.reason);
};

/**
 * Whether a page of another site has a browser send this. A proxy in front of us adds the token of whoever sits there, so that the token alone
 * does not say that they want it.
 */
function isFromAnotherSite({ headers }: FastifyRequest): boolean {
  const { 'sec-fetch-site': site, origin, host = '' } = headers;
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  return origin !== undefined && URL.parse(origin)?.host !== host.toLowerCase();
}

function idIn({ params }: FastifyRequest): string {
  return (params as { readonly id: string }).id;
}

async function actorOf(parts: GrantRoutesParts, { raw }: FastifyRequest): Promise<GrantActor | Refusal> {
  const user = await userOfCall(parts, raw);
  if (isRefusal(user)) return user;
  return { id: user.id, groups: await parts.groupsOf(user), actors: user.token.actors ?? [] };
}

/** Why evidence is refused is for operators; whoever sent it gets the public words and a challenge. */
function refuseUser(
  { realm, dpopAlgorithms, log }: GrantRoutesParts,
  reply: FastifyReply,
  refusal: Refusal,
): FastifyReply {
  const deny = denyFor(refusal);
  const { reason, detail, evidence } = deny;
  log.info({ reason, detail, evidence }, 'a call about grants was refused');
  const challenge = wwwAuthenticate(deny, realm, dpopAlgorithms);
  if (challenge !== undefined) void reply.header('www-authenticate', challenge);
  const { http, message } = STATUS[reason];
  return sendProblem(reply, http, message);
}

/** What cannot be done now is a 503 in words; anything else that is thrown is for the error handler of the surface. */
async function guarded(
  { log }: GrantRoutesParts,
  reply: FastifyReply,
  work: () => Promise<FastifyReply>,
): Promise<FastifyReply> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PdpError)) throw error;
    log.warn({ reason: error.reason, problem: messageOf(error) }, 'a call about grants failed');
    return sendProblem(reply, STATUS[error.reason].http, FAILED[error.reason] ?? 'try again later');
  }
}

const FAILED: Readonly<Partial<Record<PdpError['reason'], string>>> = {
  audit_unavailable: 'nothing was changed: the decision log cannot be written',
  state_unavailable: 'the change may or may not have been made: list the grants, and try again',
  attribute_unavailable: 'who may approve cannot be told now: try again later',
};

function sendJson(reply: FastifyReply, status: number, body: object): FastifyReply {
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify(body));
}
