import { typeName } from '../../pdp/entities.ts';
import { uidText } from '../../pdp/evaluation.ts';
import { uidOf } from '../read/question.ts';
import type { NotReplayable } from '../replay/verdict.ts';
import { BUCKETS, type Bucket, type DiffWhy } from './change.ts';
import type { Diffed } from './diff-record.ts';
import { type Groups, addMember, emptyGroups } from './group.ts';
import { textIn } from './recorded.ts';
import { type Timeline, addToTimeline, emptyTimeline } from './timeline.ts';

/** The buckets that somebody may want to know more of: by whom, what, on what and by which policies. */
export const GROUPED = ['gained', 'revoked', 'reclassified'] as const satisfies readonly Bucket[];

/** What decisions are grouped by. */
export const DIMENSIONS = ['principal', 'action', 'resource_type', 'policy'] as const;

/** One of {@link GROUPED}. */
export type GroupedBucket = (typeof GROUPED)[number];

/** Decisions of one bucket, grouped. */
export interface BucketGroups extends Readonly<Record<(typeof DIMENSIONS)[number], Groups>> {
  /** Who, in all: at most {@link MAX_DISTINCT}. */
  readonly principals: Set<string>;
}

/** What came of a comparison, in numbers. Bounded, however long the log is. */
export interface DiffTally {
  readonly buckets: Record<Bucket, number>;
  /** Of these, what a stage said before Cedar was asked. */
  readonly byStage: Record<Bucket, number>;
  /** Whether the recorded answers came out again under their own policies. */
  readonly base: Record<Diffed['base'], number>;
  /** Decisions that nobody acted on, which were not compared. */
  readonly aside: { shadow: number; explained: number };
  /** Of what cannot be told: by reason, then by what is missing. */
  readonly why: Map<DiffWhy, Groups>;
  readonly errors: Groups;
  /** Of what cannot be told: how many may be in these buckets. */
  readonly open: Record<GroupedBucket, number>;
  readonly groups: Record<GroupedBucket, BucketGroups>;
  readonly timeline: Timeline;
  first: string | undefined;
  last: string | undefined;
}

/** Distinct principals that are counted in a bucket; then there are more than so many. */
export const MAX_DISTINCT = 100_000;

/** A tally of nothing. */
export function emptyTally(): DiffTally {
  return {
    buckets: zeros(),
    byStage: zeros(),
    base: { match: 0, mismatch: 0, unknown: 0 },
    aside: { shadow: 0, explained: 0 },
    why: new Map(),
    errors: emptyGroups(),
    open: { gained: 0, revoked: 0, reclassified: 0 },
    groups: { gained: emptyBucket(), revoked: emptyBucket(), reclassified: emptyBucket() },
    timeline: emptyTimeline(),
    first: undefined,
    last: undefined,
  };
}

/** All decisions that were compared. */
export function comparedIn({ buckets }: DiffTally): number {
  return BUCKETS.reduce((sum, bucket) => sum + buckets[bucket], 0);
}

/** Counts one decision. */
export function count(tally: DiffTally, diffed: Diffed): void {
  const { bucket, record } = diffed;
  tally.buckets[bucket] += 1;
  if (diffed.byStage) tally.byStage[bucket] += 1;
  tally.base[diffed.base] += 1;
  const { timestamp } = record;
  if (tally.first === undefined || timestamp < tally.first) tally.first = timestamp;
  if (tally.last === undefined || timestamp > tally.last) tally.last = timestamp;
  addToTimeline(tally.timeline, Date.parse(timestamp), bucket);
  if (bucket === 'not_replayable') countOpen(tally, diffed);
  else if (bucket === 'error') addMember(tally.errors, diffed.error ?? '', memberOf(diffed, termsOf(diffed)));
  else if (bucket !== 'unchanged') countGroups(tally.groups[bucket], diffed);
}

/** Counts a line that holds no decision record that can be read. */
export function countUnreadable(tally: DiffTally, { why, about = '' }: NotReplayable): void {
  tally.buckets.not_replayable += 1;
  tally.base.unknown += 1;
  for (const bucket of GROUPED) tally.open[bucket] += 1;
  addMember(groupsOf(tally, why), about, { id: '', timestamp: '', principal: '', way: '' });
}

function zeros(): Record<Bucket, number> {
  return Object.fromEntries(BUCKETS.map((bucket) => [bucket, 0])) as Record<Bucket, number>;
}

function emptyBucket(): BucketGroups {
  const [principal, action, policy] = [emptyGroups(), emptyGroups(), emptyGroups()];
  return { principal, action, resource_type: emptyGroups(), policy, principals: new Set() };
}

function groupsOf({ why: byWhy }: DiffTally, why: DiffWhy): Groups {
  let groups = byWhy.get(why);
  if (!groups) byWhy.set(why, (groups = emptyGroups()));
  return groups;
}

function countOpen(tally: DiffTally, diffed: Diffed): void {
  const { open, was } = diffed;
  if (!open) return;
  if (was.decision === 'DENY' && open.may.includes('ALLOW')) tally.open.gained += 1;
  if (was.decision === 'ALLOW' && open.may.includes('DENY')) tally.open.revoked += 1;
  if (open.may.includes(was.decision)) tally.open.reclassified += 1;
  const member = memberOf(diffed, termsOf(diffed));
  for (const about of open.about.length === 0 ? [''] : open.about)
    addMember(groupsOf(tally, open.why), about, member);
}

function countGroups(groups: BucketGroups, diffed: Diffed): void {
  const { evaluated, record } = diffed;
  const [policy, terms] = [policiesText(diffed), termsOf(diffed)];
  const member = memberOf(diffed, terms);
  if (groups.principals.size <= MAX_DISTINCT) groups.principals.add(member.principal);
  addMember(groups.principal, member.principal, { ...member, way: `${terms}, ${policy}` });
  addMember(groups.action, actionOf(diffed), { ...member, way: policy });
  addMember(groups.resource_type, resourceType(record['resource'] ?? evaluated['resource']), {
    ...member,
    way: policy,
  });
  addMember(groups.policy, policy, member);
}

function memberOf({ record, evaluated }: Diffed, way: string): Parameters<typeof addMember>[2] {
  const { decision_id: id, timestamp } = record;
  return { id, timestamp, principal: principalOf(record, evaluated), way };
}

/** As the line has it, which may be a pseudonym: nobody's name is told who has none in the log. */
function principalOf(record: Diffed['record'], evaluated: Diffed['record']): string {
  const named = textIn(record, 'principal') ?? textIn(evaluated, 'principal');
  if (named !== undefined) return named;
  const user = textIn(record, 'user');
  if (user !== undefined) return uidText({ type: typeName('User'), id: user });
  const source = textIn(record['source_identity'], 'spiffe_id');
  return source === undefined ? 'nobody known' : uidText({ type: typeName('Workload'), id: source });
}

function actionOf({ record, evaluated }: Diffed): string {
  const method = textIn(record, 'method') ?? 'unknown';
  return textIn(record, 'action') ?? textIn(evaluated, 'action') ?? method;
}

function resourceType(uid: unknown): string {
  return uidOf(uid)?.type ?? 'unknown';
}

function termsOf(diffed: Diffed): string {
  const { record, evaluated } = diffed;
  return `${actionOf(diffed)} on ${resourceType(record['resource'] ?? evaluated['resource'])}`;
}

/** Who did it: the policies that decide now; where none does, those that decided then. */
function policiesText({ bucket, was, is }: Diffed): string {
  const [then, now] = [was.policies.join(', '), is?.policies.join(', ') ?? ''];
  if (bucket === 'reclassified') return `${then || was.reason} → ${now || (is?.reason ?? '')}`;
  if (now !== '') return now;
  return then === '' ? (is?.reason ?? '') : `no longer ${then}`;
}
