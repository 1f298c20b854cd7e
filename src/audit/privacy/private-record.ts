import { typeName } from '../../pdp/entities.ts';
import type { EntityUid } from '../../pdp/evaluation.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import type { PrivateRecord, RecordFields, RecordPrivacy } from '../record/record-privacy.ts';
import { clearOf } from './line-rules.ts';
import type { Pseudonyms } from './pseudonyms.ts';
import { addSubject, subjectsOfEntity, subjectsOfQuestion } from './references.ts';
import { type SaltedBlobs, createSaltedBlobs } from './salted-blobs.ts';

/** What keeps people's names out of decision records. */
export interface RecordPrivacyOptions {
  readonly pseudonyms: Pseudonyms;
  /** First index of the segment in use. */
  readonly segment: () => number;
}

/** Makes it. */
export function createRecordPrivacy({ pseudonyms, segment }: RecordPrivacyOptions): RecordPrivacy {
  const blobs = createSaltedBlobs(segment);
  return { of: (trace) => privateRecord(trace, pseudonyms, blobs) };
}

const ENDPOINT = typeName('Endpoint');

function privateRecord(trace: DecisionTrace, pseudonyms: Pseudonyms, blobs: SaltedBlobs): PrivateRecord {
  const parties = partiesOf(trace, pseudonyms);
  return {
    question: (question) => {
      const named = subjectsOfQuestion(question, pseudonyms);
      return blobs.once('question', JSON.stringify(question), named.union(parties));
    },
    entity: (entity) => {
      const named = subjectsOfEntity(entity, pseudonyms);
      // Its id is a path, which may name anybody: it is stored for each of those who asked.
      const subjects = entity.uid.type === ENDPOINT ? named.union(parties) : named;
      return blobs.shared('entity', JSON.stringify(entity), subjects);
    },
    line: (fields) => lineOf(fields, trace, { pseudonyms, blobs, parties }),
  };
}

interface Parts {
  readonly pseudonyms: Pseudonyms;
  readonly blobs: SaltedBlobs;
  readonly parties: ReadonlySet<string>;
}

function lineOf(fields: RecordFields, trace: DecisionTrace, { pseudonyms, blobs, parties }: Parts) {
  const { clear, withheld } = clearOf(fields, { trace, pseudonyms });
  const blob =
    Object.keys(withheld).length === 0
      ? undefined
      : blobs.once('withheld', JSON.stringify(withheld), parties);
  return {
    fields: { ...clear, pseudonyms: pseudonyms.epoch, withheld: blob?.digest },
    blobs: blob ? [blob] : [],
  };
}

/** Everyone whose data a record holds: who asked, with what, and whom or what they asked about. */
function partiesOf(trace: DecisionTrace, pseudonyms: Pseudonyms): Set<string> {
  const found = new Set<string>();
  const proven = trace.identities ?? trace.refused?.proven;
  if (proven?.user && pseudonyms.hides('user')) found.add(pseudonyms.of('user', proven.user.id));
  if (proven?.device && pseudonyms.hides('device')) found.add(pseudonyms.of('device', proven.device.id));
  for (const uid of namedIn(trace)) addSubject(uid, pseudonyms, found);
  return found;
}

function namedIn({ cedar, asked }: DecisionTrace): readonly EntityUid[] {
  const said = asked ? [asked.resource.uid, ...(asked.subject ? [asked.subject.uid] : [])] : [];
  return cedar ? [cedar.principal, cedar.resource, ...said] : said;
}
