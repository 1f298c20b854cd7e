import { isRecord } from '../../pdp/external-json.ts';

/** A line of the log, parsed. */
export type LogRecord = Readonly<Record<string, unknown>>;

/**
 * What readers rely on in a record of kind `decision`. Everything is checked where it is read: the file is only as trustworthy as its
 * proofs.
 */
export interface DecisionRecord extends LogRecord {
  readonly kind: 'decision';
  readonly index: number;
  readonly decision_id: string;
  /** RFC 3339 in UTC. */
  readonly timestamp: string;
  readonly decision: 'ALLOW' | 'DENY';
  readonly reason: string;
  /** Sorted. */
  readonly policies: readonly string[];
  readonly stage: string;
}

/** The JSON object in a line; `undefined` where there is none. */
export function parseRecord(line: Buffer | string): LogRecord | undefined {
  try {
    const value: unknown = JSON.parse(line.toString());
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a decision's line is its only reading: what stands there twice, others might read otherwise. */
export function isAsWritten(line: Buffer, record: LogRecord): boolean {
  if (record['kind'] !== 'decision' && !line.includes('"kind":"decision"')) return true;
  return JSON.stringify(record) === line.toString();
}

/** Whether a record is a decision with everything that readers rely on. */
export function isDecision(record: LogRecord): record is DecisionRecord {
  const { kind, index, decision, policies } = record;
  return (
    kind === 'decision' &&
    Number.isSafeInteger(index) &&
    (decision === 'ALLOW' || decision === 'DENY') &&
    Array.isArray(policies) &&
    policies.every((policy) => typeof policy === 'string') &&
    TEXTS.every((name) => typeof record[name] === 'string')
  );
}

const TEXTS = ['decision_id', 'timestamp', 'reason', 'stage'];
