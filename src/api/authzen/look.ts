import { setImmediate } from 'node:timers/promises';
import type { CallScope } from '../../pdp/call-scope.ts';
import type { DecisionPoint } from '../../pdp/decide.ts';
import { FAULT_REASONS, type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { uidText } from '../../pdp/evaluation.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import type { Arrival } from './arrival.ts';
import type { Page } from './page.ts';
import type { Candidate, SearchCandidates } from './search-candidates.ts';

/** What looking at candidates needs. */
export interface Looking {
  readonly clock: Clock;
  /** Decides without a record for each candidate. */
  readonly unrecorded: DecisionPoint;
  readonly snapshot: PolicySnapshot;
  readonly arrival: Arrival;
  readonly page: Page;
}

/** What looking at candidates came to. */
export interface Found {
  readonly results: object[];
  /** Candidates of whom nothing could be decided. */
  undecided: number;
  lookedAt: number;
  /** The candidate after which the next page begins; absent: there is none. */
  next: string | undefined;
  /** As in {@link Page}, of the next page. */
  stalls: number;
  /** Who the subject was, in Cedar's words. */
  principal: string | undefined;
  /** What turns away the question about every candidate alike. */
  refusal: Refusal | undefined;
}

/** Candidates that are decided in one turn of the event loop. */
const LANES = 4;
/** Pages in which there was no time for a candidate, after which it is left out. */
const MAX_STALLS = 2;

/**
 * Asks about candidates one after the other, until the page is full, time is up or nobody is left. A candidate for whom there is no time, page after
 * page, is undecided: whoever asks for one page after the other comes to an end.
 */
export async function look({ candidates, more }: SearchCandidates, looking: Looking): Promise<Found> {
  const { page, arrival } = looking;
  const found: Found = {
    results: [],
    undecided: 0,
    lookedAt: 0,
    next: page.after ?? '',
    stalls: 0,
    principal: undefined,
    refusal: undefined,
  };
  while (found.lookedAt < candidates.length && !found.refusal) {
    const room = Math.min(LANES, page.limit - found.results.length);
    if (room <= 0 || arrival.scope.interruption()) break;
    await lookAt(candidates.slice(found.lookedAt, found.lookedAt + room), looking, found);
    await setImmediate();
  }
  const [first] = candidates;
  if (first && found.lookedAt === 0 && !found.refusal) stall(first, page, found);
  if (found.lookedAt === candidates.length && !more) found.next = undefined;
  return found;
}

async function lookAt(candidates: readonly Candidate[], looking: Looking, found: Found): Promise<void> {
  const asked = candidates.map((candidate) => ask(candidate, looking));
  for (const { candidate, trace, late } of await Promise.all(asked)) {
    if (isRefusal(trace)) {
      miss(candidate, found);
      continue;
    }
    const { decision, cedar } = trace;
    // Time ran out for this one: the next page begins with it.
    if (late || decision.reason === 'deadline_exceeded' || decision.reason === 'cancelled') return;
    found.refusal ??= refusalOfAll(trace);
    if (found.refusal) return;
    if (cedar) found.principal ??= uidText(cedar.principal);
    if (FAULT_REASONS.has(decision.reason)) miss(candidate, found);
    else pass(candidate, found);
    if (decision.verdict === 'permit') found.results.push(candidate.result);
  }
}

interface Asked {
  readonly candidate: Candidate;
  readonly trace: DecisionTrace | Refusal;
  /** Facts did not come in what was left of the time. */
  readonly late: boolean;
}

async function ask(candidate: Candidate, looking: Looking): Promise<Asked> {
  using scope = looking.arrival.scope.part();
  const trace = await decide(candidate, looking, scope);
  const unknown = !isRefusal(trace) && trace.decision.reason === 'attribute_unavailable';
  return { candidate, trace, late: unknown && scope.factsWereLate };
}

function decide(
  candidate: Candidate,
  { clock, unrecorded, snapshot, arrival }: Looking,
  scope: CallScope,
): Promise<DecisionTrace> | Refusal {
  const question = candidate.question();
  if (isRefusal(question)) return question;
  // By the id of the search: what is cached now names the record that there is.
  const envelope = { ...arrival.envelope, startedAt: clock.monotonic() };
  return unrecorded.decide({ envelope, question, scope, decodeUs: 0, snapshot });
}

function stall(first: Candidate, { stalls }: Page, found: Found): void {
  if (stalls < MAX_STALLS) found.stalls = stalls + 1;
  else miss(first, found);
}

function pass({ id }: Candidate, found: Found): void {
  found.lookedAt += 1;
  found.next = id;
}

function miss(candidate: Candidate, found: Found): void {
  pass(candidate, found);
  found.undecided += 1;
}

/** What is wrong with the question, or with the token of the subject, is so whoever is asked about. */
function refusalOfAll({ decision, stage, asked }: DecisionTrace): Refusal | undefined {
  if (decision.verdict === 'permit' || FAULT_REASONS.has(decision.reason)) return undefined;
  const { reason, detail } = decision;
  const isToken = stage === 'authenticate' && asked?.subject === undefined;
  return reason === 'request_malformed' || isToken ? refuse(reason, detail) : undefined;
}
