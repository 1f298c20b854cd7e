import { isRecord } from '../../pdp/external-json.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import type { DecisionRecord } from '../read/decision-record.ts';

/** What an information point had to say, as a record tells it: not what it said. */
export interface RecordedFact {
  readonly subject: string;
  readonly found: boolean;
  /** Ms between observation and decision. */
  readonly ageMs: number;
  /** Paths of what was not used of it. */
  readonly leftOut: readonly string[];
}

/** Who took part in a recorded decision, and by what it was reached, apart from what Cedar saw. */
export interface Recorded {
  /** RFC 3339 in UTC. */
  readonly timestamp: string;
  /** Absent: the question was about entities. */
  readonly http?: { readonly method: string; readonly path: string; readonly host: string };
  /** Destination, where it was proven. */
  readonly service?: string;
  /** Id of the binding that the request met. */
  readonly binding?: string;
  readonly user?: { readonly id: string; readonly issuer?: string; readonly subject?: string };
  readonly source?: RecordedWorkload;
  readonly origin?: RecordedWorkload;
  readonly device?: { readonly id: string; readonly evidence?: string; readonly observedAt?: number };
  readonly mtls?: boolean;
  /** SPIFFE ID of who enforces. */
  readonly pep?: string;
  readonly facts: readonly RecordedFact[];
}

/** A workload of a record. */
export interface RecordedWorkload extends WorkloadIdentity {
  readonly evidence?: string;
}

/**
 * Reads a record. `evaluated`: the one whose evaluation it reused, which tells of the facts; else itself. Whatever is not as it should be
 * counts as absent.
 */
export function readRecorded(record: DecisionRecord, evaluated: DecisionRecord): Recorded {
  const { method, path, host } = record;
  const service = textIn(record['destination_identity'], 'spiffe_id');
  const [binding, pep] = [textIn(record, 'binding'), textIn(record['pep'], 'spiffe_id')];
  const mtls = record['mtls'];
  return {
    timestamp: record.timestamp,
    ...(isText(method) && isText(path) && isText(host) && { http: { method, path, host } }),
    ...(service !== undefined && { service }),
    ...(binding !== undefined && { binding }),
    ...(pep !== undefined && { pep }),
    ...(typeof mtls === 'boolean' && { mtls }),
    ...parties(record),
    facts: [
      ...(Array.isArray(evaluated['pip']) ? evaluated['pip'].filter(isRecord).map(factOf) : []),
      ...assertedPosture(evaluated),
    ],
  };
}

function parties(record: DecisionRecord): Pick<Recorded, 'user' | 'source' | 'origin' | 'device'> {
  const [source, origin] = [workloadIn(record['source_identity']), workloadIn(record['origin_identity'])];
  const [user, device] = [userIn(record), deviceIn(record['device'])];
  return {
    ...(user && { user }),
    ...(source && { source }),
    ...(origin && { origin }),
    ...(device && { device }),
  };
}

function userIn(record: DecisionRecord): Recorded['user'] {
  const [id, issuer] = [textIn(record, 'user'), textIn(record['token'], 'issuer')];
  const subject = textIn(record['token'], 'sub');
  if (id === undefined) return undefined;
  return { id, ...(issuer !== undefined && { issuer }), ...(subject !== undefined && { subject }) };
}

function workloadIn(value: unknown): RecordedWorkload | undefined {
  const [id, trustDomain] = [textIn(value, 'spiffe_id'), textIn(value, 'trust_domain')];
  if (id === undefined || trustDomain === undefined) return undefined;
  const [namespace, serviceAccount] = [textIn(value, 'namespace'), textIn(value, 'service_account')];
  const evidence = textIn(value, 'evidence');
  return {
    id,
    trustDomain,
    path: id.slice(`spiffe://${trustDomain}`.length),
    ...(namespace !== undefined && { namespace }),
    ...(serviceAccount !== undefined && { serviceAccount }),
    ...(evidence !== undefined && { evidence }),
  };
}

function deviceIn(value: unknown): Recorded['device'] {
  const [id, evidence] = [textIn(value, 'id'), textIn(value, 'evidence')];
  if (id === undefined) return undefined;
  const observedAt = isRecord(value) ? value['observed_at'] : undefined;
  return {
    id,
    ...(evidence !== undefined && { evidence }),
    ...(typeof observedAt === 'number' && { observedAt }),
  };
}

function factOf(fact: Readonly<Record<string, unknown>>): RecordedFact {
  const { subject, status, age_ms: age, left_out: leftOut } = fact;
  return {
    subject: isText(subject) ? subject : '',
    found: status === 'found',
    ageMs: typeof age === 'number' ? age : Number.POSITIVE_INFINITY,
    leftOut: isRecord(leftOut) ? Object.keys(leftOut) : [],
  };
}

/** A device that proved itself by an assertion may have said how it is. */
function assertedPosture({ device, timestamp }: DecisionRecord): readonly RecordedFact[] {
  if (!isRecord(device) || device['evidence'] === 'token_claim') return [];
  const { observed_at: observed, left_out: leftOut } = device;
  const age_ms = typeof observed === 'number' ? Math.max(0, Date.parse(timestamp) - observed) : undefined;
  return [factOf({ subject: 'device', status: 'found', age_ms, left_out: leftOut })];
}

/** The text that a record has under a name. */
export function textIn(value: unknown, name: string): string | undefined {
  const text = isRecord(value) ? value[name] : undefined;
  return isText(text) ? text : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
