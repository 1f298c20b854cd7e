import { typeName } from '../../pdp/entities.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { EntityQuestion } from '../../pdp/entity-question.ts';
import { uidText } from '../../pdp/evaluation.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { type CandidateRange, candidatesOf } from '../../pdp/candidates.ts';
import type { AttributeSource } from '../../pdp/ports.ts';
import type { SearchedFor } from '../question/grants.ts';
import type { createQuestionReader } from '../question/question-reader.ts';
import { type SaidQuestion, plainQuestionOf } from './read-question.ts';

/** Whom or what one search looks at. */
export interface SearchCandidates {
  readonly candidates: readonly Candidate[];
  /** Whether there are more behind the last one. */
  readonly more: boolean;
  /** Information points that know such entities and cannot list them. */
  readonly unlisted: readonly string[];
}

/** One candidate. */
export interface Candidate {
  /** By which candidates are in order. */
  readonly id: string;
  /** How it is told. */
  readonly result: object;
  /** The question about it; a candidate that cannot be asked about refuses. Made late: most are never looked at. */
  question(): EntityQuestion | Refusal;
}

/** A search that was read. */
export interface OpenedSearch {
  readonly searched: SearchedFor;
  readonly said: SaidQuestion;
  /** With {@link ANY} in the place of what is searched for. */
  readonly question: EntityQuestion;
}

/** What candidates are taken from. */
export interface CandidateParts {
  readonly sources: readonly AttributeSource[];
  /** Namespace of names without `::`. */
  readonly namespace: string;
  readonly read: ReturnType<typeof createQuestionReader>;
}

/** Stands for the part that is searched for: an id that entities of every type may have. It is never decided about. */
export const ANY = 'spiffe://any/any';

/** The question with the part that is searched for named; a part that is not there is missing where it is needed. */
export function withPart(said: SaidQuestion, searched: SearchedFor, name: string): SaidQuestion | Refusal {
  if (searched === 'action') return { ...said, action: { name } };
  const part = said[searched];
  return part
    ? { ...said, [searched]: { ...part, id: name } }
    : refuse('request_malformed', `${searched} is missing`);
}

/** The candidates of a search, in order. */
export function searchCandidates(
  opened: OpenedSearch,
  snapshot: PolicySnapshot,
  range: CandidateRange,
  parts: CandidateParts,
): SearchCandidates {
  if (opened.searched === 'action') return actionCandidates(opened, snapshot, range, parts);
  const { searched, said, question } = opened;
  const entity = question[searched];
  const type = said[searched]?.type ?? '';
  if (!entity) return { candidates: [], more: false, unlisted: [] };
  const { ids, more, unlisted } = candidatesOf(entity, snapshot, parts.sources, range);
  const candidates = ids.map((id) => ({
    id,
    result: { type, id },
    question: () => {
      const asked = withPart(said, searched, id);
      return isRefusal(asked) ? asked : parts.read(plainQuestionOf(asked));
    },
  }));
  return { candidates, more, unlisted };
}

/** Only users are proven by tokens. */
const PROVEN = typeName('User');

function actionCandidates(
  { question }: OpenedSearch,
  snapshot: PolicySnapshot,
  { after, max }: CandidateRange,
  { namespace }: CandidateParts,
): SearchCandidates {
  const { subject, resource } = question;
  const all = snapshot
    .actionsFor(subject?.uid.type ?? PROVEN, resource.uid.type)
    .map((uid) => ({ id: uidText(uid), uid }))
    .filter(({ id }) => id > after)
    .toSorted((one, other) => (one.id < other.id ? -1 : 1));
  const candidates = all.slice(0, max).map(({ id, uid }) => ({
    id,
    result: { name: nameOf(uid, namespace) },
    question: () => ({ ...question, action: uid }),
  }));
  return { candidates, more: all.length > candidates.length, unlisted: [] };
}

/** As a caller would write it. */
function nameOf({ type, id }: EntityQuestion['action'], namespace: string): string {
  return type === (namespace === '' ? 'Action' : `${namespace}::Action`) ? id : uidText({ type, id });
}
