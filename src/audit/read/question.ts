import type { CedarEntity, CedarRequest, EntityUid } from '../../pdp/evaluation.ts';
import { isRecord } from '../../pdp/external-json.ts';
import { payloadDigest } from '../record/blob.ts';
import { type DecisionRecord, parseRecord } from './decision-record.ts';
import type { Pack } from './pack.ts';

/** Why a recorded question cannot be asked again. */
export interface Unanswerable {
  readonly because: 'erased' | 'blob_missing' | 'blob_changed' | 'truncated' | 'no_inputs';
  /** Digest of the blob, where it is about one. */
  readonly digest?: string;
}

/** The question that a decision answered, exactly as the engine got it: from the record and its segment's pack alone. */
export function questionOf(record: DecisionRecord, pack: Pack): CedarRequest | Unanswerable {
  if (record['truncated'] === true) return { because: 'truncated' };
  const terms =
    typeof record['question'] === 'string' ? apart(record, record['question'], pack) : inLine(record);
  if ('because' in terms) return terms;
  const { principal, action, resource, entities } = terms;
  if (!principal || !action || !resource || !Array.isArray(entities)) return { because: 'no_inputs' };
  const context =
    typeof terms.context === 'string' ? blobValue(terms.context, pack) : { value: terms.context };
  if ('because' in context) return context;
  const values: unknown[] = [];
  for (const digest of entities) {
    const entity = blobValue(String(digest), pack);
    if ('because' in entity) return entity;
    values.push(entity.value);
  }
  // Cedar checks all of it again, against the schema.
  return {
    principal,
    action,
    resource,
    context: context.value as CedarRequest['context'],
    entities: values as readonly CedarEntity[],
  };
}

/** A question as far as it was read. */
interface Terms {
  readonly principal: EntityUid | undefined;
  readonly action: EntityUid | undefined;
  readonly resource: EntityUid | undefined;
  readonly context: unknown;
  readonly entities: unknown;
}

function inLine(record: DecisionRecord): Terms {
  const [principal, action, resource] = ['principal', 'action', 'resource'].map((name) =>
    uidOf(record[name]),
  );
  return { principal, action, resource, context: record['context'], entities: record['entities'] };
}

/** A question that the line has no room for, or must not hold in clear. */
function apart(record: DecisionRecord, digest: string, pack: Pack): Terms | Unanswerable {
  const blob = blobValue(digest, pack);
  if ('because' in blob) return blob;
  const value = isRecord(blob.value) ? blob.value : {};
  const [principal, action, resource] = ['principal', 'action', 'resource'].map((name) => uidIn(value[name]));
  const entities = value['entities'] ?? record['entities'];
  return { principal, action, resource, context: value['context'], entities };
}

function uidIn(value: unknown): EntityUid | undefined {
  if (!isRecord(value)) return undefined;
  const { type, id } = value;
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}

/** Whether a question cannot be asked again. */
export function isUnanswerable(question: CedarRequest | Unanswerable): question is Unanswerable {
  return 'because' in question;
}

/** The value in a blob, which must be what its digest says. */
export function blobValue(digest: string, pack: Pack): { readonly value: unknown } | Unanswerable {
  const payload = pack.get(digest);
  if (payload === undefined) return { because: 'blob_missing', digest };
  const blob = parseRecord(payload);
  if (blob?.['kind'] === 'erased') return { because: 'erased', digest };
  if (blob === undefined || payloadDigest(payload) !== digest) return { because: 'blob_changed', digest };
  return { value: blob['value'] };
}

/** The entity that `Type::"id"` names; `undefined` for what is no such text. */
export function uidOf(text: unknown): EntityUid | undefined {
  if (typeof text !== 'string') return undefined;
  const at = text.indexOf('::"');
  const id = at < 1 ? undefined : parseText(text.slice(at + 2));
  return id === undefined ? undefined : { type: text.slice(0, at), id };
}

function parseText(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The texts of a policy set in a blob of kind `policies`; who builds a snapshot of them compares its digest. */
export function policyTextsOf(payload: Buffer): object | undefined {
  const value = parseRecord(payload)?.['value'];
  return isRecord(value) ? value : undefined;
}
