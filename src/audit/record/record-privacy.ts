import type { CedarEntity } from '../../pdp/evaluation.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import type { Blob, Question } from './blob.ts';

/** Members of a record in their order. */
export type RecordFields = Readonly<Record<string, unknown>>;

/** What keeps people's names out of one record. */
export interface PrivateRecord {
  /** The question in a blob that can be erased. */
  question(question: Question): Blob;
  /** An entity in a blob that can be erased. */
  entity(entity: CedarEntity): Blob;
  /** The members of the line without names, and the blob that holds what was taken out. */
  line(fields: RecordFields): { readonly fields: RecordFields; readonly blobs: readonly Blob[] };
}

/** What keeps people's names out of records, where that is configured. */
export interface RecordPrivacy {
  of(trace: DecisionTrace): PrivateRecord;
}
