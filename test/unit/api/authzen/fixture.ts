import { onTestFinished } from 'vitest';
import { type AuthzenParts, authzenRoutes } from '../../../../src/api/authzen/routes.ts';
import type { SearchReport } from '../../../../src/api/authzen/searches.ts';
import { startHttpServer } from '../../../../src/api/http/http-server.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import type { Grant } from '../../../../src/api/question/grants.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { SAMPLE_SCHEMA } from '../../../support/snapshot.ts';
import { type Setup, setUp } from '../../pdp/decision-point.ts';
import { GRANT, OWNERS, SHOP_SCHEMA } from '../decision-service/fixture.ts';

type Json = Readonly<Record<string, unknown>>;

/** All that there is to ask and to search for. */
export const SEARCHER: Grant = { ...GRANT, search: new Set(['subject', 'resource', 'action']) };

/** What a call came to. */
export interface AuthzenAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Json;
}

/** The AuthZEN API over a decision point of its own. */
export async function serveAuthzen(setup: Setup = {}, parts: Partial<AuthzenParts> = {}) {
  const schema = `${SAMPLE_SCHEMA}\n${SHOP_SCHEMA}`;
  const common = { clock: MACHINE_CLOCK, policies: OWNERS, schema, ...setup };
  const fixture = setUp(common);
  // The records of candidates would be among those of the calls.
  const unrecorded = setUp(common).point;
  const served = await authzenOn(fixture, { unrecorded, sources: setup.sources ?? [], ...parts });
  return { ...fixture, ...served };
}

/** The AuthZEN API over the decision point of a fixture. */
export async function authzenOn(
  fixture: Pick<ReturnType<typeof setUp>, 'point' | 'snapshot'>,
  parts: Partial<AuthzenParts> = {},
) {
  const searches: SearchReport[] = [];
  const inFlight = parts.inFlight ?? new InFlight(100);
  const routes = authzenRoutes({
    clock: MACHINE_CLOCK,
    decisionPoint: fixture.point,
    unrecorded: fixture.point,
    sources: [],
    snapshots: { current: () => fixture.snapshot() },
    record: (report) => Promise.resolve(void searches.push(report)),
    inFlight,
    access: { plaintext: true, grants: [SEARCHER], explains: () => false },
    questions: {
      namespace: 'Shop',
      pipSubjects: new Map([['Shop::Order', ['order']]]),
      assertionHeader: 'x-device-assertion',
      parseSpiffeId: () => undefined,
    },
    maxBatchItems: 1000,
    maxPage: 100,
    maxCandidates: 1000,
    timeoutMs: 2000,
    batchTimeoutMs: 5000,
    searchTimeoutMs: 5000,
    ...parts,
  });
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    clock: MACHINE_CLOCK,
    log,
    maxBodyBytes: 64 * 1024,
    routes: [routes],
  });
  if (!server) throw new Error('no surface');
  onTestFinished(() => server[Symbol.asyncDispose]());
  const base = `http://${server.address}`;
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${base}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.startsWith('application/json') === true;
    const json = (isJson ? JSON.parse(text) : {}) as Json;
    return { status: answer.status, headers: answer.headers, text, json } satisfies AuthzenAnswer;
  };
  return {
    base,
    inFlight,
    searches,
    post,
    evaluate: (question: object, headers?: Record<string, string>) =>
      post('/access/v1/evaluation', question, headers),
    evaluateAll: (batch: object, headers?: Record<string, string>) =>
      post('/access/v1/evaluations', batch, headers),
    search: (what: 'subject' | 'resource' | 'action', question: object) =>
      post(`/access/v1/search/${what}`, question),
  };
}

/** demo/alice, on the word of the caller, views an order of hers. */
export const QUESTION = {
  subject: { type: 'ZeroTrust::User', id: 'demo/alice' },
  action: { name: 'view' },
  resource: { type: 'Order', id: '17', properties: { owner: 'alice' } },
} as const;
