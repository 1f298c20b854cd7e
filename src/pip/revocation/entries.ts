import { hash } from 'node:crypto';
import type { AttributeRecord, AttributeValue } from '../../pdp/attribute.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type {
  AttributesChanged,
  ClaimsChanged,
  Restore,
  SecurityEffect,
  ShutOff,
  VoidBefore,
} from '../../pdp/security-event.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { SUBJECT_KINDS, type SubjectKind, type SubjectRef, subjectsKey } from '../../pdp/subject-key.ts';
import { factGroups } from './event-attributes.ts';
import type { Rule } from './rule.ts';

/** How long entries are kept. */
export interface Keeping {
  /** Ms; longer than any token lives. */
  readonly keepMs: number;
  /** Ms for which what events said of attributes holds. */
  readonly eventsMaxAgeMs: number;
}

/** Name of the source whose shut-offs only it ends: events of other sources do not undo what administrators have done. */
export const ADMIN = 'admin';

/** Uses of the entries of this folder in the shared state. `hold` is `off` by administrators; of `off` each event stream has its own. */
export const REVOCATION_USES = ['void', 'off', 'hold', 'attributes', 'claims'] as const;

type Use = (typeof REVOCATION_USES)[number];

const MAX_KEY_BYTES = 900;
/** Clocks of senders may be this far ahead; what is from further on is taken to be from then, lest nothing could ever follow it. */
const MAX_AHEAD_MS = 60_000;
const MAX_REASON = 500;

/**
 * The entries that say an effect at `now` (Unix ms). Subjects of a workload alone hold no token: what is void for them is shut off. `held`: the keys of
 * what shuts the subjects off now, all of which an administrator ends.
 */
export function entriesOf(
  effect: SecurityEffect,
  now: number,
  keeping: Keeping,
  held: readonly string[],
): readonly SharedEntry[] {
  const at = Math.floor(Math.min(effect.at, now + MAX_AHEAD_MS));
  switch (effect.effect) {
    case 'void_before':
      return effect.subjects.every(({ kind }) => kind === 'workload')
        ? offEntries({ ...effect, at, effect: 'shut_off' }, keeping, held)
        : [voidEntry({ ...effect, at }, keeping)];
    case 'shut_off':
    case 'restore':
      return offEntries({ ...effect, at }, keeping, held);
    case 'attributes':
      return attributeEntries({ ...effect, at }, keeping);
    case 'claims':
      return claimEntries({ ...effect, at }, keeping);
  }
}

function voidEntry(effect: VoidBefore, { keepMs }: Keeping): SharedEntry {
  const value = { ...told(effect), subjects: subjectValues(effect.subjects) };
  const key = entryKey('void', subjectsKey(effect.subjects));
  return { key, rank: 0, at: effect.at, expiresAt: effect.at + keepMs, value };
}

/**
 * `off` is the first member by name, and `true` the greater value: of two that happened at once the restrictive one stays. An entry outlives
 * the end of its shut-off, so that one from before it does not come back.
 */
function offEntries(
  effect: ShutOff | Restore,
  { keepMs }: Keeping,
  held: readonly string[],
): readonly SharedEntry[] {
  const off = effect.effect === 'shut_off';
  const until = off ? effect.until : undefined;
  const value = {
    off,
    ...told(effect),
    subjects: subjectValues(effect.subjects),
    ...(until !== undefined && { until: Math.ceil(until) }),
  };
  const stays = off && until === undefined;
  const expiresAt = Math.max(effect.at, Math.ceil(until ?? 0)) + keepMs;
  const own = offKey(effect);
  const keys = effect.source === ADMIN && !off ? [...new Set([own, ...held])] : [own];
  return keys.map((key) => ({
    key,
    rank: 0,
    at: effect.at,
    ...(!stays && { expiresAt }),
    value,
  }));
}

/** One entry for each fact: a later event about one must not take the others away. */
function attributeEntries(effect: AttributesChanged, { eventsMaxAgeMs }: Keeping): readonly SharedEntry[] {
  const { subject, attributes, at } = effect;
  return factGroups(subject.kind).flatMap((names) => {
    const known = names.filter((name) => Object.hasOwn(attributes, name));
    if (known.length === 0) return [];
    const facts = Object.fromEntries(known.map((name) => [name, attributes[name] ?? '']));
    const value = { ...told(effect), attributes: facts, subjects: subjectValues([subject]) };
    const key = attributeKey(subject, names[0] ?? '');
    return [{ key, rank: 0, at, expiresAt: at + eventsMaxAgeMs, value }];
  });
}

function claimEntries(effect: ClaimsChanged, { keepMs }: Keeping): readonly SharedEntry[] {
  const { subject, claims, groups, at } = effect;
  const entry = (part: string, change: AttributeRecord): SharedEntry => ({
    key: entryKey('claims', `${subjectsKey([subject])}|${part}`),
    rank: 0,
    at,
    expiresAt: at + keepMs,
    value: { ...told(effect), ...change, subjects: subjectValues([subject]) },
  });
  return [
    ...Object.entries(claims).map(([name, value]) => entry(`claim:${name}`, { claim: name, value })),
    ...(groups === undefined ? [] : [entry('groups', { groups })]),
  ];
}

/** What one source has shut off only it, or an administrator, ends. */
function offKey({ source, subjects }: ShutOff | Restore): string {
  const about = subjectsKey(subjects);
  return source === ADMIN ? entryKey('hold', about) : entryKey('off', `${source}|${about}`);
}

/** The key of what events say about one fact of a subject. */
export function attributeKey(subject: SubjectRef, fact: string): string {
  return entryKey('attributes', `${subjectsKey([subject])}|${fact}`);
}

/** Names that are too long for a key are told apart by their digest. */
function entryKey(use: Use, about: string): string {
  const short = Buffer.byteLength(about) <= MAX_KEY_BYTES;
  return `${use}|${short ? about : `#${hash('sha256', about, 'base64url')}`}`;
}

function told({ source, reason }: Pick<SecurityEffect, 'source' | 'reason'>): AttributeRecord {
  return { source, ...(reason !== undefined && { reason: reason.slice(0, MAX_REASON).toWellFormed() }) };
}

function subjectValues(subjects: readonly SubjectRef[]): AttributeValue {
  return subjects.map(({ kind, id }) => ({ kind, id }));
}

/** The use of an entry; `undefined` for one that is not of this folder. */
export function useOf({ key }: Pick<SharedEntry, 'key'>): Use | undefined {
  return REVOCATION_USES.find((use) => key.startsWith(`${use}|`));
}

/** The subjects that an entry is about; `undefined` where it does not say it in a way that we know. */
export function subjectsOf({ value }: SharedEntry): readonly SubjectRef[] | undefined {
  const given: unknown = isRecord(value) ? value['subjects'] : undefined;
  if (!Array.isArray(given) || given.length === 0) return undefined;
  const subjects = given.flatMap((one: unknown) => (isSubject(one) ? [{ kind: one.kind, id: one.id }] : []));
  return subjects.length === given.length ? subjects : undefined;
}

function isSubject(value: unknown): value is SubjectRef {
  if (!isRecord(value)) return false;
  const { kind, id } = value;
  return typeof id === 'string' && SUBJECT_KINDS.includes(kind as SubjectKind);
}

/** The rule of a `void`, `off` or `hold` entry; `undefined` for one that ends a shut-off, and for all others. */
export function ruleOf(entry: SharedEntry): Rule | undefined {
  const use = useOf(entry);
  const subjects = subjectsOf(entry);
  const { key, at, value, expiresAt = Number.POSITIVE_INFINITY } = entry;
  if (!subjects || !isRecord(value) || use === 'attributes' || use === 'claims') return undefined;
  const { source, reason, off, until } = value;
  if (use !== 'void' && off === false) return undefined;
  const ends = use !== 'void' && typeof until === 'number' ? until : undefined;
  return {
    key,
    effect: use === 'void' ? 'void' : 'off',
    subjects,
    at,
    ...(ends !== undefined && { until: ends }),
    endsAt: Math.min(ends ?? Number.POSITIVE_INFINITY, expiresAt),
    source: typeof source === 'string' ? source : 'unknown',
    ...(typeof reason === 'string' && { reason }),
  };
}
