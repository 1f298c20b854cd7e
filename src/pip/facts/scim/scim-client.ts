import { statusProblem } from '../http/connection-problem.ts';
import { type HttpClient, type HttpConnection, openHttpClient } from '../http/http-client.ts';
import { parseJsonAnswer } from '../http/json-answer.ts';
import { WrongAnswerError } from '../source-guard.ts';
import { type ScimPage, readScimPage } from './scim-response.ts';

/** A SCIM service provider (RFC 7644). Everything rejects with `PdpError` `attribute_unavailable`, or with the signal's reason. */
export interface ScimClient extends AsyncDisposable {
  /** One resource by its id; `undefined` where there is none. */
  resource(endpoint: string, id: string, signal: AbortSignal): Promise<unknown>;
  /** One page of the resources that a filter finds; `startIndex` counts from 1. */
  page(endpoint: string, query: ScimQuery, signal: AbortSignal): Promise<ScimPage>;
}

/** A query (RFC 7644 §3.4.2). */
export interface ScimQuery {
  readonly filter: string;
  readonly attributes?: string;
  readonly startIndex?: number;
  readonly count: number;
}

/** Opens a client of the service provider below a base URL, `https://…/scim/v2`. Throws `InputError` for credentials that are not right. */
export async function openScimClient(
  baseUrl: string,
  connection: Omit<HttpConnection, 'origin'>,
): Promise<ScimClient> {
  const base = new URL(baseUrl);
  const root = base.pathname.replace(/\/$/, '');
  const http = await openHttpClient({ ...connection, origin: base.origin });
  const ask = (path: string, signal: AbortSignal) => askJson(http, `${root}/${path}`, signal);
  return {
    async resource(endpoint, id, signal) {
      return await ask(`${endpoint}/${encodeURIComponent(id)}`, signal);
    },
    async page(endpoint, query, signal) {
      const json = await ask(`${endpoint}?${queryText(query)}`, signal);
      const page = json === undefined ? { problem: 'is not there (404)' } : readScimPage(json);
      if ('problem' in page) throw new WrongAnswerError(`answered with a list that ${page.problem}`);
      return page;
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function queryText(query: ScimQuery): string {
  return Object.entries(query)
    .map(([name, value]: [string, string | number]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
}

async function askJson(client: HttpClient, path: string, signal: AbortSignal): Promise<unknown> {
  const answer = await client.ask(
    { path, headers: { accept: 'application/scim+json, application/json' } },
    signal,
  );
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw statusProblem(answer.status);
  const parsed = parseJsonAnswer(answer);
  if ('problem' in parsed) throw new WrongAnswerError(parsed.problem);
  return parsed.json;
}
