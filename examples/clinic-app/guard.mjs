// Asks the decision point before a route runs. Knows no framework; two adapters at the end fit it to Fastify and to Express.
// Whatever is not clearly allowed is refused: denied is 401 or 403, not decided is 503.

const REALM = 'Bearer realm="clinic"';
/** Without a token there is nobody to ask about. */
const WITHOUT_TOKEN = refusal(401, 'authentication is required', { 'www-authenticate': REALM });

/**
 * Makes a guard: `authorize(authorization, question)` is `undefined` where the request may go on, else what to answer it with. The user is whoever
 * the bearer token of the request proves, to the decision point; nothing here reads it. `report` is told why something was not decided.
 */
export function createGuard(pdp, report = () => undefined) {
  return {
    async authorize(authorization, { action, resource }) {
      const subject = subjectOf(authorization);
      return subject ? refusalOf(await pdp.check({ subject, action, resource }), report) : WITHOUT_TOKEN;
    },
    /** Keeps of a list what may be seen: many questions in one call. A list that could not be decided whole is none. */
    async filter(authorization, items, questionOf) {
      const subject = subjectOf(authorization);
      if (!subject) return { refusal: WITHOUT_TOKEN };
      const answers = await pdp.checkAll(items.map((item) => ({ subject, ...questionOf(item) })));
      const unanswered = answers.find(({ failure }) => failure !== undefined);
      const [first] = answers;
      const isAnybodyElse = first?.advice && answers.every(({ allowed }) => !allowed);
      if (unanswered || isAnybodyElse) return { refusal: refusalOf(unanswered ?? first, report) };
      return { allowed: items.filter((_item, index) => answers[index].allowed) };
    },
  };
}

/** The bearer token, as it came: whether it is any good is for the decision point to say. */
function subjectOf(authorization) {
  const token = /^bearer +([^\s,]+)$/i.exec(authorization ?? '')?.[1];
  return token === undefined ? undefined : { token };
}

function refusalOf(answer, report) {
  const { allowed, failure, advice, message = 'access denied', decisionId } = answer;
  if (allowed) return undefined;
  if (failure !== undefined) {
    report(answer);
    return refusal(503, 'no decision could be made; try again later', { 'retry-after': '1' });
  }
  const more = { decision_id: decisionId, advice };
  if (!advice) return refusal(403, message, {}, more);
  return refusal(401, message, { 'www-authenticate': challengeOf(advice) }, more);
}

/** RFC 6750, RFC 9470. */
function challengeOf({ kind, acrValues = [] }) {
  if (kind === 'authenticate') return `${REALM}, error="invalid_token"`;
  const classes = acrValues.length > 0 ? `, acr_values="${acrValues.join(' ')}"` : '';
  return `${REALM}, error="insufficient_user_authentication"${classes}`;
}

/** RFC 9457. */
function refusal(status, detail, headers, more = {}) {
  const body = JSON.stringify({ type: 'about:blank', status, detail, ...more });
  return {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
    body,
  };
}

/** For Fastify: `{ onRequest: fastifyGuard(guard, questionOf) }`, before the body is read; `preHandler` works too. */
export function fastifyGuard(guard, questionOf) {
  return async (request, reply) => {
    const refused = await guard.authorize(request.headers.authorization, questionOf(request));
    if (refused) return reply.code(refused.status).headers(refused.headers).send(refused.body);
  };
}

/** For Express, and what else takes middleware: `app.get(path, expressGuard(guard, questionOf), handler)`. */
export function expressGuard(guard, questionOf) {
  return async (request, response, next) => {
    let refused;
    try {
      refused = await guard.authorize(request.headers.authorization, questionOf(request));
    } catch (error) {
      return next(error);
    }
    if (!refused) return next();
    response.writeHead(refused.status, refused.headers).end(refused.body);
  };
}
