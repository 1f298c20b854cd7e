import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { trace as otel } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  AccessDenied,
  CallFailure,
  type PdpClientOptions,
  createPdpClient,
} from '../../../src/client/client.ts';

const QUESTION = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'read' },
  resource: { type: 'record', id: 'record-1' },
} as const;

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A server that answers as a test says, and what it was asked. */
async function serverOf(handler: Handler, options: Partial<PdpClientOptions> = {}) {
  const asked: { path: string; headers: IncomingMessage['headers']; body: unknown }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      asked.push({ path: request.url ?? '', headers: request.headers, body: JSON.parse(body) as unknown });
      handler(request, response, body);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { asked, url, pdp: createPdpClient({ url, ...options }) };
}

const answering =
  (value: unknown, status = 200): Handler =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };

describe('an answer', () => {
  test('that permits is allowed, with what the decision point says of it', async () => {
    const said = {
      decision: true,
      context: { decision_id: 'd-1', reason: 'permitted', cacheable_until: '2026-11-22T12:00:00.000Z' },
    };
    const { pdp, asked } = await serverOf(answering(said));
    expect(await pdp.check(QUESTION)).toEqual({
      allowed: true,
      reason: 'permitted',
      decisionId: 'd-1',
      cacheableUntil: new Date('2026-11-22T12:00:00Z'),
    });
    expect(asked).toMatchObject([{ path: '/access/v1/evaluation', body: QUESTION }]);
  });

  test('that denies says why, and what would help', async () => {
    const advice = { kind: 'step_up', acr_values: ['gold'] };
    const said = {
      decision: false,
      context: { reason: 'step_up_required', message: 'more, please', advice },
    };
    const { pdp } = await serverOf(answering(said));
    expect(await pdp.check(QUESTION)).toEqual({
      allowed: false,
      reason: 'step_up_required',
      message: 'more, please',
      advice: { kind: 'step_up', acrValues: ['gold'] },
    });
  });

  test('is allowed for nothing but decision: true, whatever else comes', async () => {
    let said: unknown;
    const { pdp } = await serverOf((request, response, body) => answering(said)(request, response, body), {
      retries: 0,
    });
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (value, other) => {
        said = [value, other, { decision: value, context: other }][Math.floor(Math.random() * 3)];
        const { allowed } = await pdp.check(QUESTION);
        const isPermit =
          typeof said === 'object' && said !== null && (said as { decision?: unknown }).decision === true;
        if (!isPermit) expect(allowed).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  test('with an error in it is not allowed, even beside decision: true', async () => {
    const said = { decision: true, context: { error: { status: 403, message: 'no' } } };
    const { pdp } = await serverOf(answering(said));
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'not_allowed_to_ask' });
  });
});

describe('without a decision nothing is allowed', () => {
  test.each([
    [400, 'bad_question'],
    [401, 'not_allowed_to_ask'],
    [403, 'not_allowed_to_ask'],
    [404, 'bad_answer'],
    [413, 'bad_question'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ])('status %i is %s', async (status, failure) => {
    const { pdp } = await serverOf(answering({ decision: true }, status), { retries: 0 });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure, reason: failure });
  });

  test.each([
    [400, 'bad_question'],
    [403, 'not_allowed_to_ask'],
    [503, 'unavailable'],
  ])('an answer with an error of status %i is %s', async (status, failure) => {
    const context = { decision_id: 'd-1', reason: 'why', error: { status, message: 'words' } };
    const { pdp } = await serverOf(answering({ decision: false, context }));
    expect(await pdp.check(QUESTION)).toEqual({
      allowed: false,
      reason: failure,
      failure,
      detail: 'why: words',
      decisionId: 'd-1',
    });
  });

  test.each(['', 'null', '[]', '{"decision":"true"}', '{"decision":1}', '{'])(
    'a body of %j',
    async (body) => {
      const { pdp } = await serverOf(answering(body));
      expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'bad_answer' });
    },
  );

  test('nobody listens', async () => {
    const { url } = await serverOf(answering({}));
    const pdp = createPdpClient({ url: url.replace(/\d+$/, '1') });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'unavailable' });
  });

  test('no answer comes before the deadline, retries included', async () => {
    const { pdp, asked } = await serverOf(() => undefined, { timeoutMs: 80, retries: 5 });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'timeout' });
    expect(asked).toHaveLength(1);
  });

  test('the caller gives up', async () => {
    const { pdp } = await serverOf(() => undefined);
    const signal = AbortSignal.abort();
    expect(await pdp.check(QUESTION, { signal })).toMatchObject({ allowed: false, failure: 'timeout' });
  });

  test('a redirect is followed to nobody', async () => {
    const { pdp, url, asked } = await serverOf(
      (_request, response) => response.writeHead(307, { location: `${url}/elsewhere` }).end(),
      { retries: 0 },
    );
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'unavailable' });
    expect(asked).toHaveLength(1);
  });

  test('the token cannot be had', async () => {
    const token = () => Promise.reject(new Error('no token today'));
    const { pdp } = await serverOf(answering({ decision: true }), { token, retries: 0 });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'unavailable' });
  });

  test('enforce throws what was said', async () => {
    const said = { decision: false, context: { reason: 'no_permit', message: 'access denied' } };
    const { pdp } = await serverOf(answering(said));
    const error = await pdp.enforce(QUESTION).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AccessDenied);
    expect((error as AccessDenied).answer.reason).toBe('no_permit');
  });
});

describe('a failure that may pass', () => {
  test.each([429, 502, 503, 504, 500])('of status %i is tried again', async (status) => {
    let calls = 0;
    const { pdp } = await serverOf((request, response, body) => {
      calls += 1;
      answering({ decision: true }, calls === 1 ? status : 200)(request, response, body);
    });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: true });
  });

  test.each([400, 401, 403])('that does not pass, of status %i, is not', async (status) => {
    const { pdp, asked } = await serverOf(answering('no', status), { retries: 3 });
    await pdp.check(QUESTION);
    expect(asked).toHaveLength(1);
  });
});

describe('questions of one turn', () => {
  const permits: Handler = (request, response, body) => {
    const { evaluations } = JSON.parse(body) as { evaluations: readonly { resource: { id: string } }[] };
    const decisions = evaluations.map(({ resource }) => ({ decision: Number(resource.id) % 2 === 0 }));
    answering({ evaluations: decisions })(request, response, body);
  };
  const about = (id: number) => ({ ...QUESTION, resource: { type: 'record', id: String(id) } });

  test('go in one call, and each has its own answer', async () => {
    const { pdp, asked } = await serverOf(permits);
    const answers = await Promise.all([1, 2, 3, 4].map((id) => pdp.check(about(id))));
    expect(answers.map(({ allowed }) => allowed)).toEqual([false, true, false, true]);
    expect(asked.map(({ path }) => path)).toEqual(['/access/v1/evaluations']);
  });

  test('go in as many calls as it takes', async () => {
    const { pdp, asked } = await serverOf(permits, { maxBatchItems: 3 });
    const answers = await pdp.checkAll(Array.from({ length: 8 }, (_, id) => about(id)));
    expect(answers.map(({ allowed }) => allowed)).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(asked).toHaveLength(3);
  });

  test('are all denied where the answers do not match them', async () => {
    const { pdp } = await serverOf(answering({ evaluations: [{ decision: true }] }));
    const answers = await pdp.checkAll([about(1), about(2)]);
    expect(answers.map(({ allowed, failure }) => [allowed, failure])).toEqual([
      [false, 'bad_answer'],
      [false, 'bad_answer'],
    ]);
  });

  test('go one by one where batching is off', async () => {
    const { pdp, asked } = await serverOf(answering({ decision: true }), { batching: false });
    await Promise.all([pdp.check(about(1)), pdp.check(about(2))]);
    expect(asked).toHaveLength(2);
  });

  test('none is no call', async () => {
    const { pdp, asked } = await serverOf(permits);
    expect([await pdp.checkAll([]), asked]).toEqual([[], []]);
  });
});

describe('a search', () => {
  test('goes through all pages', async () => {
    const { pdp, asked } = await serverOf((request, response, body) => {
      const { page } = JSON.parse(body) as { page?: { token: string } };
      const said = page
        ? { results: [{ type: 'user', id: 'bob' }], page: { next_token: '' } }
        : { results: [{ type: 'user', id: 'alice' }], page: { next_token: 'more' } };
      answering(said)(request, response, body);
    });
    const { action, resource } = QUESTION;
    const found = await Array.fromAsync(pdp.subjects({ subject: { type: 'user' }, action, resource }));
    expect(found.map(({ id }) => id)).toEqual(['alice', 'bob']);
    expect(asked.map(({ path }) => path)).toEqual(Array(2).fill('/access/v1/search/subject'));
  });

  test.each<[string, Handler, string]>([
    ['may not be made', answering('no', 403), 'not_allowed_to_ask'],
    [
      'could not be made',
      answering({ results: [], context: { error: { status: 503, message: 'later' } } }),
      'unavailable',
    ],
    ['has no results', answering({}), 'bad_answer'],
    ['is nothing', answering('null'), 'bad_answer'],
  ])('that %s throws: a list that ends early must not look whole', async (_what, handler, failure) => {
    const { pdp } = await serverOf(handler, { retries: 0 });
    const { subject, resource } = QUESTION;
    const error = await Array.fromAsync(pdp.actions({ subject, resource })).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(CallFailure);
    expect(error).toMatchObject({ failure });
  });
});

test('the token is asked for before each call', async () => {
  let serial = 0;
  const { pdp, asked } = await serverOf(answering({ decision: true }), { token: () => `token-${++serial}` });
  await pdp.check(QUESTION);
  await pdp.check(QUESTION);
  expect(asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer token-1', 'Bearer token-2']);
});

test('the trace of the application goes along', async () => {
  const ignored = (_spans: unknown, done: (result: { code: number }) => void) => done({ code: 0 });
  const traceExporter = { export: ignored, shutdown: () => Promise.resolve() };
  const sdk = new NodeSDK({ instrumentations: [], traceExporter });
  sdk.start();
  onTestFinished(() => sdk.shutdown());
  const { pdp, asked } = await serverOf(answering({ decision: true }));
  const { traceId, spanId } = await otel.getTracer('test').startActiveSpan('request', async (span) => {
    await pdp.check(QUESTION);
    await Promise.all([pdp.check(QUESTION), pdp.check(QUESTION)]);
    span.end();
    return span.spanContext();
  });
  const sent = asked.map(({ headers }) => headers['traceparent']);
  expect(sent).toEqual(Array(2).fill(`00-${traceId}-${spanId}-01`));
});
