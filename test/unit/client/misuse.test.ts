import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { context, trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CallFailure, type PdpClientOptions, createPdpClient } from '../../../src/client/client.ts';

const QUESTION = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'read' },
  resource: { type: 'record', id: 'record-1' },
} as const;
const SEARCH = { subject: QUESTION.subject, action: QUESTION.action, resource: { type: 'record' } };

type Said = { readonly status?: number; readonly json?: unknown; readonly text?: string };

/** A server that answers the body of each call, and the bodies that it got. */
async function serverOf(answer: (body: unknown) => Said, options: Partial<PdpClientOptions> = {}) {
  const asked: unknown[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const body = JSON.parse(text) as unknown;
      asked.push(body);
      const { status = 200, json, text: words } = answer(body);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(words ?? JSON.stringify(json));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { asked, pdp: createPdpClient({ url, ...options }) };
}

function itemsOf(body: unknown): readonly unknown[] | undefined {
  return (body as { evaluations?: readonly unknown[] }).evaluations;
}

const permits = (body: unknown): Said => {
  const items = itemsOf(body);
  return { json: items ? { evaluations: items.map(() => ({ decision: true })) } : { decision: true } };
};

describe('options that are none', () => {
  test.each<Partial<PdpClientOptions>>([
    { url: 'pdp.example.com' },
    { url: 'ftp://pdp' },
    { url: 'https://pdp/?x=1' },
    { timeoutMs: Number.NaN },
    { timeoutMs: 0 },
    { timeoutMs: Number.POSITIVE_INFINITY },
    { searchTimeoutMs: -1 },
    { retries: -1 },
    { retries: Number.NaN },
    { maxBatchItems: 0 },
    { maxBatchItems: 1.5 },
  ])('%j are a TypeError at once, and no denies later', (options) => {
    expect(() => createPdpClient({ url: 'https://pdp.example.com', ...options })).toThrow(TypeError);
  });
});

describe('one bad question', () => {
  test('that cannot be written as JSON is no problem of the others of its turn', async () => {
    const { pdp } = await serverOf(permits);
    const bad = { ...QUESTION, context: { size: 1n } };
    const answers = await Promise.all([QUESTION, bad, QUESTION].map((question) => pdp.check(question)));
    expect(answers.map(({ allowed, failure }) => failure ?? allowed)).toEqual([true, 'bad_question', true]);
  });

  test('for which a batch is refused as a whole is found', async () => {
    const isBad = (item: unknown) => JSON.stringify(item).includes('spoilt');
    const { pdp, asked } = await serverOf((body) =>
      (itemsOf(body) ?? [body]).some(isBad) ? { status: 400, text: 'no' } : permits(body),
    );
    const spoilt = { ...QUESTION, resource: { type: 'record', id: 'spoilt' } };
    const questions = Array.from({ length: 40 }, (_, at) => (at === 17 ? spoilt : QUESTION));
    const answers = await pdp.checkAll(questions);
    expect(answers.map(({ allowed }) => allowed)).toEqual(questions.map((question) => question !== spoilt));
    expect(asked.length).toBeLessThan(16);
  });

  test('does not become hundreds of calls where everything is refused', async () => {
    const { pdp, asked } = await serverOf(() => ({ status: 400, text: 'no' }));
    const answers = await pdp.checkAll(Array.from({ length: 100 }, () => QUESTION));
    expect(answers.every(({ failure }) => failure === 'bad_question')).toBe(true);
    expect(asked.length).toBeLessThan(40);
  });
});

test('a batch that is turned away as a whole is denied for the reason that it is', async () => {
  const json = {
    decision: false,
    context: { reason: 'overloaded', error: { status: 503, message: 'later' } },
  };
  const { pdp } = await serverOf(() => ({ json }));
  expect(await pdp.checkAll([QUESTION, QUESTION])).toMatchObject([
    { allowed: false, failure: 'unavailable' },
    { allowed: false, failure: 'unavailable' },
  ]);
});

test('one permit is not the permit of a whole batch', async () => {
  const { pdp } = await serverOf(() => ({ json: { decision: true } }));
  const answers = await pdp.checkAll([QUESTION, QUESTION]);
  expect(answers.map(({ allowed }) => allowed)).toEqual([false, false]);
});

describe('a token', () => {
  test('that does not come ends with the deadline', async () => {
    const token = () => new Promise<string>(() => undefined);
    const { pdp } = await serverOf(permits, { token, timeoutMs: 50 });
    expect(await pdp.check(QUESTION)).toMatchObject({ allowed: false, failure: 'timeout' });
  });

  test.each(['SECRET\nx', 'SECRET x', '', 'SECRÉT'])(
    'such as %j is not sent, and not quoted',
    async (bad) => {
      const { pdp, asked } = await serverOf(permits, { token: () => bad });
      const answer = await pdp.check(QUESTION);
      expect(answer).toMatchObject({ allowed: false, failure: 'not_allowed_to_ask' });
      expect(JSON.stringify(answer)).not.toContain('SECR');
      expect(asked).toEqual([]);
    },
  );
});

test('the long page of a proxy with an error is an error that may pass', async () => {
  let calls = 0;
  const { pdp } = await serverOf((body) => {
    calls += 1;
    return calls === 1 ? { status: 503, text: 'x'.repeat(100_000) } : permits(body);
  });
  expect(await pdp.check(QUESTION)).toMatchObject({ allowed: true });
});

test.each([-1, 0])('a limit of %d ms on a call is a deadline that has passed', async (timeoutMs) => {
  const { pdp } = await serverOf(permits);
  expect(await pdp.check(QUESTION, { timeoutMs })).toMatchObject({ failure: 'timeout' });
});

describe('a search', () => {
  test.each<[string, unknown]>([
    ['null', null],
    ['results that are none', { results: [null] }],
    ['results without a name', { results: [{ id: 3 }] }],
    ['no end', { results: [], page: { next_token: 'again' } }],
  ])('throws CallFailure for %s', async (_what, json) => {
    const { pdp } = await serverOf(() => ({ json }));
    await expect(Array.fromAsync(pdp.resources(SEARCH))).rejects.toThrow(CallFailure);
  });

  test('with candidates of whom nothing could be decided throws at its end', async () => {
    const json = { results: [{ type: 'record', id: '1' }], page: null, context: { undecided: 2 } };
    const { pdp } = await serverOf(() => ({ json }));
    const found: string[] = [];
    const all = async () => {
      for await (const { id } of pdp.resources(SEARCH)) found.push(id);
    };
    await expect(all()).rejects.toThrow('nothing could be decided of 2 candidates');
    expect(found).toEqual(['1']);
  });
});

test('questions of two traces go in two calls, each within its own', async () => {
  const sdk = new NodeSDK({
    traceExporter: { export: () => undefined, shutdown: () => Promise.resolve() },
    instrumentations: [],
  });
  sdk.start();
  onTestFinished(() => sdk.shutdown());
  const traces: (string | undefined)[] = [];
  const fetch: typeof globalThis.fetch = (...args) => {
    traces.push(trace.getSpanContext(context.active())?.traceId);
    return globalThis.fetch(...args);
  };
  const { pdp } = await serverOf(permits, { fetch });
  const within = (digit: string) =>
    trace.setSpanContext(context.active(), {
      traceId: digit.repeat(32),
      spanId: digit.repeat(16),
      traceFlags: 1,
    });
  await Promise.all(['1', '2', '1'].map((digit) => context.with(within(digit), () => pdp.check(QUESTION))));
  expect(traces).toEqual(['1'.repeat(32), '2'.repeat(32)]);
});
