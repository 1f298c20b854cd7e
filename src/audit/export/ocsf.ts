import type { DecisionRecord } from '../read/decision-record.ts';
import { actorOf, apiOf, destinationOf, requestOf, resourcesOf, sourceOf } from './ocsf-objects.ts';
import { type Json, defined, numberOf, text, textOf } from './record-fields.ts';

/** The release of the schema that events follow. */
export const OCSF_VERSION = '1.8.0';

const CLASS_UID = 6003;

/**
 * A decision as an OCSF event: API Activity (6003) with the profiles security_control and, where there is a trace, trace. What has no place in the
 * schema is in `unmapped`.
 */
export function ocsfEvent(record: DecisionRecord): Json {
  const [activity, name] = activityOf(record);
  const [severity, severityName] = severityOf(record);
  return defined({
    activity_id: activity,
    activity_name: name,
    category_uid: 6,
    category_name: 'Application Activity',
    class_uid: CLASS_UID,
    class_name: 'API Activity',
    type_uid: CLASS_UID * 100 + activity,
    type_name: `API Activity: ${name}`,
    severity_id: severity,
    severity: severityName,
    time: Date.parse(record.timestamp),
    message: text(record['detail']) ?? text(record['message']) ?? `${record.decision}: ${record.reason}`,
    status_id: record.decision === 'ALLOW' ? 1 : 2,
    status: record.decision === 'ALLOW' ? 'Success' : 'Failure',
    status_code: record.reason,
    ...outcomeOf(record),
    actor: actorOf(record),
    api: apiOf(record),
    src_endpoint: sourceOf(record),
    dst_endpoint: destinationOf(record),
    http_request: requestOf(record),
    http_response: numberOf(record, 'http_status', (code) => ({ code })),
    resources: resourcesOf(record),
    ...policiesOf(record),
    trace: textOf(record, 'trace_id', (uid) => ({ uid })),
    metadata: metadataOf(record),
    unmapped: unmappedOf(record),
  });
}

const ACTIVITIES: Readonly<Record<string, readonly [number, string]>> = {
  POST: [1, 'Create'],
  GET: [2, 'Read'],
  HEAD: [2, 'Read'],
  OPTIONS: [2, 'Read'],
  PUT: [3, 'Update'],
  PATCH: [3, 'Update'],
  DELETE: [4, 'Delete'],
};

function activityOf({ method }: DecisionRecord): readonly [number, string] {
  return (typeof method === 'string' ? ACTIVITIES[method] : undefined) ?? [99, 'Other'];
}

/** Evidence that was refused is more than a policy that says no. */
function severityOf({ decision, cause }: DecisionRecord): readonly [number, string] {
  if (decision === 'ALLOW') return [1, 'Informational'];
  return cause === undefined ? [2, 'Low'] : [3, 'Medium'];
}

/** Nobody acts on a decision that was only observed. */
function isObserved({ enforced, shadow_of: shadowOf, explained }: DecisionRecord): boolean {
  return enforced === false || shadowOf !== undefined || explained === true;
}

function outcomeOf(record: DecisionRecord): Json {
  const outcome = (action_id: number, action: string, disposition_id: number, disposition: string) => ({
    action_id,
    action,
    disposition_id,
    disposition,
  });
  if (isObserved(record)) return outcome(3, 'Observed', 17, 'Logged');
  return record.decision === 'ALLOW'
    ? outcome(1, 'Allowed', 1, 'Allowed')
    : outcome(2, 'Denied', 2, 'Blocked');
}

/** Each policy that decided; the first of them is what the profile calls the policy. */
function policiesOf(record: DecisionRecord): Json {
  const version = text(record['snapshot']);
  const decision = record.decision === 'ALLOW' ? 'Allowed' : 'Denied';
  const policies = record.policies.map((id) =>
    defined({ uid: id, name: id, version, is_applied: !isObserved(record) }),
  );
  const [policy = version === undefined ? undefined : { uid: version, name: 'policy set' }] = policies;
  const authorizations =
    policies.length === 0 ? [{ decision }] : policies.map((each) => ({ decision, policy: each }));
  return { ...(policy && { policy }), authorizations };
}

function metadataOf(record: DecisionRecord): Json {
  const profiles = ['security_control', ...(record['trace_id'] === undefined ? [] : ['trace'])];
  return defined({
    version: OCSF_VERSION,
    product: { name: 'cedar-pdp', vendor_name: 'cedar-pdp' },
    profiles,
    uid: record.decision_id,
    original_event_uid: record.decision_id,
    event_code: record.reason,
    log_name: text(record['log']),
    sequence: record.index,
    original_time: record.timestamp,
    correlation_uid: text(record['trace_id']),
  });
}

/** What has a place of its own in the event, or is only for evaluating again. */
const MAPPED = new Set(
  'v kind log index decision_id timestamp reason policies method path host user action resource snapshot http_status trace_id request_id message detail context entities question withheld'.split(
    ' ',
  ),
);

function unmappedOf(record: DecisionRecord): Json {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !MAPPED.has(name)));
}
