import type { DecisionRecord } from '../read/decision-record.ts';
import { uidOf } from '../read/question.ts';
import { type Json, defined, member, text, textOf } from './record-fields.ts';

/** Who asked: the user, and the workload or application that asked for them. */
export function actorOf(record: DecisionRecord): Json {
  const user = text(record['user']);
  const source = member(record, 'source_identity');
  const app = text(source?.['spiffe_id']) ?? text(member(record, 'pep')?.['application']);
  if (user === undefined && app === undefined)
    return { user: { name: 'anonymous', type_id: 0, type: 'Unknown' } };
  const domain = text(member(record, 'token')?.['issuer']);
  return defined({
    user:
      user === undefined ? undefined : defined({ uid: user, name: user, type_id: 1, type: 'User', domain }),
    app_uid: app,
    app_name: app === undefined ? undefined : (text(source?.['service_account']) ?? app),
  });
}

/** What was asked for, and what the answer was. */
export function apiOf(record: DecisionRecord): Json {
  const { action, method, surface, reason, decision } = record;
  const service = text(member(record, 'destination_identity')?.['spiffe_id']) ?? text(record['host']);
  return defined({
    operation: text(action) ?? text(method) ?? text(surface) ?? 'unknown',
    request: { uid: text(record['request_id']) ?? record.decision_id },
    response: defined({
      code: record['http_status'],
      error: decision === 'DENY' ? reason : undefined,
      error_message: text(record['message']),
    }),
    service: service === undefined ? undefined : { name: service },
  });
}

/** Where the request came from, as far as it was proven. */
export function sourceOf(record: DecisionRecord): Json {
  const spiffe = text(member(record, 'source_identity')?.['spiffe_id']);
  if (spiffe !== undefined) return { uid: spiffe, svc_name: spiffe };
  const device = text(member(record, 'device')?.['id']);
  return device === undefined ? { name: 'unknown' } : { uid: device };
}

/** Where it was to go. */
export function destinationOf(record: DecisionRecord): Json | undefined {
  const spiffe = text(member(record, 'destination_identity')?.['spiffe_id']);
  const host = hostOf(record);
  return spiffe === undefined && host === undefined ? undefined : defined({ svc_name: spiffe, ...host });
}

function hostOf(record: DecisionRecord): { readonly hostname: string; readonly port?: number } | undefined {
  const host = text(record['host']);
  if (host === undefined || host === '') return undefined;
  const [, name = host, port] = /^(.*?)(?::(\d{1,5}))?$/.exec(host) ?? [];
  return { hostname: name, ...(port !== undefined && { port: Number(port) }) };
}

/** The HTTP request, where there was one. */
export function requestOf(record: DecisionRecord): Json | undefined {
  const [method, path] = [text(record['method']), text(record['path'])];
  if (method === undefined && path === undefined) return undefined;
  const url = { ...hostOf(record), ...(path !== undefined && { path }) };
  return defined({
    http_method: method,
    url: Object.keys(url).length === 0 ? undefined : url,
    uid: text(record['request_id']),
  });
}

/** What it was about. */
export function resourcesOf(record: DecisionRecord): readonly Json[] | undefined {
  return textOf(record, 'resource', (uid) => [defined({ uid, type: uidOf(uid)?.type })]);
}
