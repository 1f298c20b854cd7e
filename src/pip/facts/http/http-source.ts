import type { AttributeSubject } from '../../../pdp/attribute.ts';
import { ABSENT, type ReadFacts } from '../fact-reading.ts';
import type { FactSource, FetchedFacts } from '../fact-source.ts';
import { NotAskedError, WrongAnswerError } from '../source-guard.ts';
import { answerFreshness } from './answer-freshness.ts';
import { type BodyTemplate, bodyFor } from './body-template.ts';
import { statusProblem } from './connection-problem.ts';
import {
  type HttpAnswer,
  type HttpClient,
  type HttpConnection,
  type HttpQuestion,
  MAX_PATH,
  openHttpClient,
} from './http-client.ts';
import { parseJsonAnswer } from './json-answer.ts';
import { type SubjectParts, subjectParts } from './subject-parts.ts';
import { type UrlTemplate, parseUrlTemplate } from './url-template.ts';

/** Settings of {@link openHttpSource}. */
export interface HttpSourceOptions extends Omit<HttpConnection, 'origin'> {
  readonly subject: AttributeSubject;
  readonly gives: readonly string[];
  /** Template of the URL; see `urlTemplateProblem`. */
  readonly url: string;
  /** Makes the question a POST with this JSON. */
  readonly body?: BodyTemplate;
  /** The one issuer whose subjects the server knows; those of others are absent without a question. */
  readonly issuer?: string;
  /** Statuses by which the server says that it does not know the subject; default 404 and 410. */
  readonly absentStatuses?: readonly number[];
  readonly read: ReadFacts;
}

const MAX_VALIDATOR = 1_024;

/**
 * Opens facts that a server gives over HTTP as JSON. `fetch` rejects with `PdpError` `attribute_unavailable` for a server that cannot be
 * asked, and with `WrongAnswerError` for another status than 200, 304, those that mean absence and those of a server that is not available, and
 * for an answer that is not right. Throws `InputError` for credentials that are not right.
 */
export async function openHttpSource(options: HttpSourceOptions): Promise<FactSource> {
  const { name, subject, gives } = options;
  const template = parseUrlTemplate(options.url);
  const client = await openHttpClient({ ...options, origin: template.origin });
  return {
    name,
    subject,
    gives,
    unasked: (subjectId) => unasked(options, template, subjectId),
    fetch: (subjectId, signal, previous) => fetch(options, template, client, subjectId, signal, previous),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function unasked(
  options: HttpSourceOptions,
  template: UrlTemplate,
  subjectId: string,
): FetchedFacts | undefined {
  const parts = subjectParts(subjectId);
  if (options.issuer !== undefined && parts.issuer !== options.issuer) return ABSENT;
  questionFor(options, template, parts, undefined);
  return undefined;
}

async function fetch(
  options: HttpSourceOptions,
  template: UrlTemplate,
  client: HttpClient,
  subjectId: string,
  signal: AbortSignal,
  previous: FetchedFacts | undefined,
): Promise<FetchedFacts> {
  const known = unasked(options, template, subjectId);
  if (known) return known;
  const parts = subjectParts(subjectId);
  // For POST it would be a precondition, which fails where nothing has changed (RFC 9110 §13.1.2).
  const validator = options.body === undefined ? previous?.validator : undefined;
  const answer = await client.ask(questionFor(options, template, parts, validator), signal);
  if (answer.status === 304 && previous && validator !== undefined)
    return { ...previous, ...remarksOf(answer) };
  if ((options.absentStatuses ?? [404, 410]).includes(answer.status))
    return { ...ABSENT, ...freshnessOf(answer) };
  if (answer.status !== 200) throw statusProblem(answer.status);
  const parsed = parseJsonAnswer(answer);
  if ('problem' in parsed) throw new WrongAnswerError(parsed.problem);
  const facts = options.read(parsed.json);
  if ('problem' in facts) throw new WrongAnswerError(`answered with JSON that ${facts.problem}`);
  return { ...facts, ...remarksOf(answer) };
}

function questionFor(
  options: HttpSourceOptions,
  template: UrlTemplate,
  parts: SubjectParts,
  validator: string | undefined,
): HttpQuestion {
  const url = template.pathFor(parts);
  if ('problem' in url) throw new NotAskedError(`is not asked: ${url.problem}`);
  if (url.path.length > MAX_PATH) throw new NotAskedError('is not asked: the id is too long');
  const body = options.body === undefined ? undefined : bodyFor(options.body, parts);
  if (options.body !== undefined && body === undefined)
    throw new NotAskedError('is not asked: the id is not of the form <issuer>/<name>');
  const headers = {
    accept: 'application/json, application/*+json;q=0.9',
    ...(validator !== undefined && { 'if-none-match': validator }),
  };
  return { path: url.path, headers, ...(body !== undefined && { body }) };
}

function remarksOf(answer: HttpAnswer): Pick<FetchedFacts, 'freshMs' | 'validator'> {
  const validator = answer.header('etag');
  const isUsable =
    validator !== undefined && validator.length <= MAX_VALIDATOR && /^[\x21-\x7e]+$/.test(validator);
  return { ...freshnessOf(answer), ...(isUsable && { validator }) };
}

function freshnessOf(answer: HttpAnswer): Pick<FetchedFacts, 'freshMs'> {
  const freshMs = answerFreshness(answer.header('cache-control'), answer.header('age'));
  return { ...(freshMs !== undefined && { freshMs }) };
}
