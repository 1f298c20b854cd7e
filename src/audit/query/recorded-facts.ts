import type { AttributeFact, LeftOut, LeftOutAttributes } from '../../pdp/attribute.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { LogRecord } from '../read/decision-record.ts';
import { valuesAt } from './filter.ts';

const LEFT_OUT: readonly unknown[] = ['too_old', 'unavailable', 'wrong_type'] satisfies LeftOut[];

/** Where a record says whom the facts of a kind of subject are about. */
const SUBJECTS: Readonly<Record<string, string>> = {
  user: 'user',
  device: 'device.id',
  workload: 'source_identity.spiffe_id',
};

/**
 * What a record says of its information points: which did not know their subject, and whose word was left out. What they gave is in the entities;
 * which gave what is not recorded, and not guessed.
 */
export function recordedFacts(record: LogRecord): readonly AttributeFact[] {
  return valuesAt(record, 'pip').flatMap((pip) => (isRecord(pip) ? [factOf(pip, record)] : []));
}

function factOf(pip: LogRecord, record: LogRecord): AttributeFact {
  const subject = String(pip['subject']);
  const [subjectId] = valuesAt(record, SUBJECTS[subject] ?? '-');
  const leftOut = leftOutOf(pip['left_out']);
  return {
    source: String(pip['source']),
    gives: [],
    subject,
    subjectId: typeof subjectId === 'string' ? subjectId : '',
    status: pip['status'] === 'absent' ? 'absent' : 'found',
    attributes: {},
    groups: [],
    observedAt: Number(pip['observed_at'] ?? 0),
    freshUntil: Number.POSITIVE_INFINITY,
    ...(leftOut && { leftOut }),
  };
}

function leftOutOf(value: unknown): LeftOutAttributes | undefined {
  if (!isRecord(value)) return undefined;
  const entries = Object.entries(value).filter(([, why]) => LEFT_OUT.includes(why));
  return Object.fromEntries(entries) as LeftOutAttributes;
}
