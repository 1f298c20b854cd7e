import type { IncomingMessage } from 'node:http';
import type { Pep } from '../../pdp/access-request.ts';
import { externalJsonProblem, isRecord } from '../../pdp/external-json.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { type SubjectRef, subjectKey } from '../../pdp/subject-key.ts';
import { OpsRefusal, type TokenCheck, readBody } from './ops-admin.ts';
import { type Route, json } from './ops-route.ts';

/** What an administrator can have done: void what was issued until now, shut off, or end a shut-off. */
const REVOCATION_ACTIONS = ['revoke', 'shut_off', 'restore'] as const;

/** What an administrator wants. */
export interface RevocationChange {
  readonly action: (typeof REVOCATION_ACTIONS)[number];
  /** All of them together. */
  readonly subjects: readonly SubjectRef[];
  /** How long a shut-off lasts, in s; absent: until it is lifted. */
  readonly forS?: number;
  readonly reason: string;
}

/** Where a page begins: after this one. */
export interface PageCursor {
  /** Unix ms. */
  readonly at: number;
  readonly key: string;
}

/** Revocation, as administrators steer it. */
export interface RevocationAdmin {
  /** A page of what is in force, as JSON, the newest first. */
  list(limit: number, after: PageCursor | undefined): object | Promise<object>;
  /** Puts a change in force and says, as JSON, what is in force then. Rejects with `PdpError`, or `OpsRefusal`, where it cannot. */
  change(change: RevocationChange, by: string): Promise<object>;
}

/** What the routes need. */
export interface RevocationRouteParts {
  readonly admin: RevocationAdmin;
  /** Whether a workload that has proven itself by mutual TLS may revoke. */
  readonly isAdmin: (workload: WorkloadIdentity) => boolean;
  /** Whether a workload is shut off: nothing of it is good, nor does it lift that itself. */
  readonly isShutOff: (workload: WorkloadIdentity) => boolean | Promise<boolean>;
  /** The check of callers of a plaintext surface; absent: none of them may. */
  readonly token?: TokenCheck;
  /** Reads a subject as people write it, or says what is wrong with it. */
  readonly readSubject: (value: unknown) => SubjectRef | { readonly problem: string };
}

const MAX_BODY_BYTES = 16 * 1024;
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/** `GET` and `POST /revocations`, for administrators of revocation alone: nobody else gets to see who is shut off. */
export function revocationRoutes(parts: RevocationRouteParts): ReadonlyMap<string, readonly Route[]> {
  const routes: readonly Route[] = [
    {
      method: 'GET',
      query: true,
      callers: 'own',
      async answer(request, caller) {
        await adminOf(request, caller, parts);
        const { limit, after } = readPage(request);
        return json(200, await parts.admin.list(limit, after));
      },
    },
    {
      method: 'POST',
      callers: 'own',
      async answer(request, caller) {
        const by = await adminOf(request, caller, parts);
        const change = readChange(await readBody(request, MAX_BODY_BYTES), parts.readSubject);
        return json(200, await parts.admin.change(change, by));
      },
    },
  ];
  return new Map([['/revocations', routes]]);
}

/** Who asks, as records name them. */
async function adminOf(
  request: IncomingMessage,
  { workload, address }: Pep,
  parts: RevocationRouteParts,
): Promise<string> {
  if (workload) {
    if (await parts.isShutOff(workload)) throw new OpsRefusal(403, `${workload.id} is shut off`);
    if (parts.isAdmin(workload)) return workload.id;
    throw new OpsRefusal(
      403,
      `${workload.id} is not on the list of those who may revoke (revocation.admins)`,
    );
  }
  if (!parts.token)
    throw new OpsRefusal(404, 'nobody can do this here: no revocation.admin_token_file is configured');
  parts.token(request, false);
  return `the admin token at ${address}`;
}

function readPage({ url = '/' }: IncomingMessage): { limit: number; after: PageCursor | undefined } {
  const query = new URL(url, 'http://ops.invalid').searchParams;
  const limit = query.get('limit') ?? String(DEFAULT_LIMIT);
  if (!/^[1-9]\d{0,3}$/.test(limit) || Number(limit) > MAX_LIMIT)
    throw new OpsRefusal(400, `limit must be a number from 1 to ${MAX_LIMIT}`);
  const after = query.get('after');
  const [, at, key] = /^(\d{1,16})~(.{1,1024})$/s.exec(after ?? '') ?? [];
  if (after !== null && (at === undefined || key === undefined))
    throw new OpsRefusal(400, 'after must be what `next` of a page says');
  return {
    limit: Number(limit),
    after: at === undefined || key === undefined ? undefined : { at: Number(at), key },
  };
}

/** What `after` of the next page says. */
export function cursorText({ at, key }: PageCursor): string {
  return `${at}~${key}`;
}

function readChange(text: string, readSubject: RevocationRouteParts['readSubject']): RevocationChange {
  const value = parseJson(text);
  const { subject, subjects, action, for_s: forS, reason, ...rest } = value;
  const given = subject === undefined ? subjects : subjects === undefined ? [subject] : undefined;
  const read = Array.isArray(given) ? given.map((one: unknown) => readSubject(one)) : [];
  const known = read.flatMap((one) => ('problem' in one ? [] : [one]));
  const problems = [
    ...Object.keys(rest).map((key) => `unknown key '${key}'`),
    ...read.flatMap((one) => ('problem' in one ? [`a subject ${one.problem}`] : [])),
    ...(read.length >= 1 && read.length <= 7 ? [] : ['needs `subject`, or `subjects` with 1 to 7 of them']),
    ...(new Set(known.map(subjectKey)).size < known.length ? ['a subject is there twice'] : []),
    ...actionProblems(action, forS, known),
    ...reasonProblems(reason),
  ];
  if (problems.length > 0) throw new OpsRefusal(400, problems.join('\n'));
  return {
    action: action as RevocationChange['action'],
    subjects: known,
    reason: reason as string,
    ...(typeof forS === 'number' && { forS }),
  };
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isRecord(value)) throw new OpsRefusal(400, 'the body must be a JSON object');
  const problem = externalJsonProblem(value);
  if (problem !== undefined) throw new OpsRefusal(400, `the body ${problem}`);
  return value;
}

const MAX_FOR_S = 366 * 86_400;

function actionProblems(action: unknown, forS: unknown, subjects: readonly SubjectRef[]): string[] {
  const problems: string[] = [];
  if (!REVOCATION_ACTIONS.includes(action as RevocationChange['action']))
    problems.push(`action must be one of ${REVOCATION_ACTIONS.join(', ')}`);
  if (forS !== undefined && action !== 'shut_off') problems.push('for_s is for the action shut_off only');
  if (forS !== undefined && !(Number.isInteger(forS) && Number(forS) >= 1 && Number(forS) <= MAX_FOR_S))
    problems.push(`for_s must be a whole number of seconds from 1 to ${MAX_FOR_S}`);
  const onlyWorkloads = subjects.length > 0 && subjects.every(({ kind }) => kind === 'workload');
  if (action === 'revoke' && onlyWorkloads)
    problems.push('a workload holds nothing of ours that could be void: use the action shut_off');
  return problems;
}

/** Controls steer terminals; overrides of the direction make a text read as another one. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;

function reasonProblems(reason: unknown): string[] {
  if (typeof reason !== 'string' || !/[\p{L}\p{N}]/u.test(reason)) return ['a reason is needed'];
  return reason.length <= 500 && reason.isWellFormed() && !UNSAFE.test(reason)
    ? []
    : ['reason must be one line of at most 500 characters'];
}
