import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { Identities, RefusedEvidence } from '../../pdp/identity.ts';
import type { Log } from '../../pdp/log.ts';
import type { AttributeSource, Clock, Revocations } from '../../pdp/ports.ts';
import { refuseEvidence } from '../../pdp/refused-evidence.ts';
import type { SecurityEffect, SecurityEffects } from '../../pdp/security-event.ts';
import type { SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { SUBJECT_KINDS, type SubjectKind, type SubjectRef, subjectsKey } from '../../pdp/subject-key.ts';
import type { Authenticated } from '../../pdp/trace.ts';
import { ClaimsChanges, isOlder } from './claims-changes.ts';
import { ADMIN, type Keeping, REVOCATION_USES, entriesOf, ruleOf, subjectsOf, useOf } from './entries.ts';
import { EventFacts } from './event-facts.ts';
import { type Parties, assertedParties, callingParties, provenParties } from './parties.ts';
import { type Rule, indexMembers, isAboutTokens, ruleWords } from './rule.ts';
import { RuleIndex } from './rule-index.ts';

/** Settings of {@link SharedRevocations}. */
export interface RevocationOptions extends Keeping {
  readonly shared: SharedState;
  /** Ms for which changes may have been missed before nothing that is cached is used. */
  readonly maxLagMs: number;
  /** Ms for which changes may have been missed before every check is denied; `undefined`: what is known goes on to count. */
  readonly denyAfterMs: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each effect that comes into force here, with the ms since it happened. Must not throw. */
  readonly onTaken?: (lagMs: number) => void;
}

/** What a rule has done in this process. */
export interface RuleEffect {
  /** Checks, and calls about grants, that were refused by it. */
  readonly refused: number;
  /** Unix ms of the newest of them. */
  readonly lastAt: number;
}

const PRUNE_MS = 60_000;

/**
 * What is revoked, in the state that all replicas share and in rules of this process alone (`local`). Looks at it in memory: a map get for
 * each party of a question, and nothing where nothing is revoked.
 */
export class SharedRevocations implements Revocations, SecurityEffects, Disposable {
  /** Facts that events have told, as information points that never wait. */
  readonly sources: readonly AttributeSource[];
  readonly #options: RevocationOptions;
  readonly #shared = new RuleIndex();
  readonly #claims = new ClaimsChanges();
  readonly #facts: EventFacts;
  readonly #listeners = new Set<(subject: SubjectRef) => void>();
  readonly #watch: Disposable;
  readonly #effects = new WeakMap<Rule, RuleEffect>();
  #local = new RuleIndex();
  #pruneAt: number;

  constructor(options: RevocationOptions) {
    this.#options = options;
    this.#pruneAt = options.clock.now() + PRUNE_MS;
    this.#facts = new EventFacts(options.shared);
    this.sources = this.#facts.sources;
    this.#watch = options.shared.onChange((entry) => this.#changed(entry));
    for (const use of REVOCATION_USES) for (const entry of options.shared.list(`${use}|`)) this.#take(entry);
  }

  refusal(question: Authenticated): Refusal | undefined {
    return this.#revoked(question) ?? this.#lost();
  }

  revised(identities: Identities): Identities {
    return this.#claims.revised(identities, this.#options.clock);
  }

  isCurrent(): boolean {
    return this.#options.shared.lagMs() <= this.#options.maxLagMs;
  }

  async apply(effects: readonly SecurityEffect[]): Promise<void> {
    const now = this.#options.clock.now();
    const entries = effects.flatMap((effect) => entriesOf(effect, now, this.#options, this.#heldBy(effect)));
    if (entries.length > 0) await this.#options.shared.put(entries, { restricts: effects.some(restricts) });
  }

  /** The rules in force, whoever made them, the newest first. */
  list(): readonly Rule[] {
    const now = this.#options.clock.now();
    const all = [...this.#shared.list(now), ...this.#local.list(now)];
    return all.sort((a, b) => b.at - a.at || (a.key < b.key ? -1 : 1));
  }

  /** Whether a subject by itself is shut off, whoever asks. */
  isShutOff({ kind, id }: SubjectRef): boolean {
    const parties: Parties = (wanted) => (wanted === kind ? [id] : []);
    return this.#find(parties, this.#options.clock.now(), ({ effect }) => effect === 'off') !== undefined;
  }

  /** What a rule of `list` has done in this process; `undefined` where it has refused nobody yet. */
  effectOf(rule: Rule): RuleEffect | undefined {
    return this.#effects.get(rule);
  }

  /** How many rules are in force, by the kind of subject that they are found by. */
  countByKind(): ReadonlyMap<SubjectKind, number> {
    const counts = new Map<SubjectKind, number>(SUBJECT_KINDS.map((kind) => [kind, 0]));
    for (const rule of this.list()) {
      const kind = indexMembers(rule)[0]?.kind;
      if (kind) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  }

  /** Unix ms of the newest shut-off of these subjects together, or of its end; 0 where there was none. */
  changedAt(subjects: readonly SubjectRef[]): number {
    return Math.max(0, ...this.#offs(subjects).map(({ at }) => at));
  }

  /** Ms for which changes of others may have been missed; `Infinity` as long as none was ever read. */
  lagMs(): number {
    return this.#options.shared.lagMs();
  }

  /** Puts these rules in force in this process, in the place of those before. */
  setLocal(rules: readonly Rule[]): void {
    const next = new RuleIndex();
    for (const rule of rules) next.put(rule);
    this.#local = next;
  }

  /** Tells of each subject that something new is said about, so that what is remembered of it can be dropped. The listener must not throw. */
  onSubject(listener: (subject: SubjectRef) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  /** All that shuts these subjects off together, or ends that, whoever says it. */
  #offs(subjects: readonly SubjectRef[]): readonly SharedEntry[] {
    const about = subjectsKey(subjects);
    const all = ['off|', 'hold|'].flatMap((prefix) => this.#options.shared.list(prefix));
    return all.filter((entry) => subjectsKey(subjectsOf(entry) ?? []) === about);
  }

  #heldBy(effect: SecurityEffect): readonly string[] {
    if (effect.effect !== 'restore' || effect.source !== ADMIN) return [];
    return this.#offs(effect.subjects).flatMap((entry) => (ruleOf(entry) ? entry.key : []));
  }

  #revoked(question: Authenticated): Refusal | undefined {
    if (this.#shared.size === 0 && this.#local.size === 0) return undefined;
    const now = this.#options.clock.now();
    const counts = (rule: Rule): boolean => rule.effect === 'off' || isVoid(rule, question);
    const proven = this.#find(provenParties(question), now, counts);
    if (proven) return this.#refused(proven, now, isAboutTokens(proven));
    const calling = this.#callerRevoked(question, now);
    if (calling) return this.#refused(calling, now, false, 'asserted');
    const asserted = assertedParties(question);
    const named = asserted && this.#find(asserted, now, ({ effect }) => effect === 'off');
    return named && this.#refused(named, now, false, 'asserted');
  }

  /** Of an application whose own token says who it is. */
  #callerRevoked(question: Authenticated, now: number): Rule | undefined {
    const calling = callingParties(question);
    const issuedAt = question.pep.application?.token.issuedAt;
    return calling && this.#find(calling, now, (rule) => rule.effect === 'off' || isOlder(issuedAt, rule.at));
  }

  #refused(rule: Rule, now: number, byToken: boolean, kind?: RefusedEvidence['kind']): Refusal {
    this.#effects.set(rule, { refused: (this.#effects.get(rule)?.refused ?? 0) + 1, lastAt: now });
    return refusalOf(rule, byToken, kind);
  }

  #find(parties: Parties, now: number, counts: (rule: Rule) => boolean): Rule | undefined {
    return this.#shared.find(parties, now, counts) ?? this.#local.find(parties, now, counts);
  }

  #lost(): Refusal | undefined {
    const { shared, denyAfterMs = Number.MAX_SAFE_INTEGER } = this.#options;
    const lagMs = shared.lagMs();
    if (lagMs <= denyAfterMs) return undefined;
    // Also where what is known goes on to count: who has just started knows nothing.
    if (!Number.isFinite(lagMs))
      return refuse('state_unavailable', 'revocations were never read since the start');
    const seconds = Math.floor(lagMs / 1000);
    return refuse('state_unavailable', `revocations may have been missed for ${seconds} s`);
  }

  #changed(entry: SharedEntry): void {
    if (useOf(entry) === undefined) return;
    const now = this.#options.clock.now();
    this.#take(entry);
    this.#prune(now);
    this.#options.onTaken?.(Math.max(0, now - entry.at));
    for (const subject of subjectsOf(entry) ?? []) for (const listener of this.#listeners) listener(subject);
  }

  #take(entry: SharedEntry): void {
    if (subjectsOf(entry) === undefined) {
      this.#options.log.error(
        { use: useOf(entry), at: entry.at },
        'an entry about revocations in the shared state cannot be read: is another version of this program writing there?',
      );
      return;
    }
    const use = useOf(entry);
    if (use === 'attributes') return this.#facts.noticed();
    if (use === 'claims') return this.#claims.put(entry);
    const rule = ruleOf(entry);
    if (rule) this.#shared.put(rule);
    else this.#shared.delete(entry.key);
  }

  #prune(now: number): void {
    if (now < this.#pruneAt) return;
    this.#pruneAt = now + PRUNE_MS;
    this.#shared.prune(now);
    this.#claims.prune(now);
  }
}

/**
 * Whether what a rule makes void is what this question shows: the token, or of a rule about devices the proof of the device, and a token that
 * names the device, whatever else proves it.
 */
function isVoid(rule: Rule, { identities: { user, device } }: Authenticated): boolean {
  if (isAboutTokens(rule) || kindOf(rule) !== 'device') return isOlder(user?.token.issuedAt, rule.at);
  const issuedAt = device?.issuedAt ?? device?.observedAt;
  if (isOlder(issuedAt === undefined ? undefined : Math.floor(issuedAt / 1000), rule.at)) return true;
  return user?.token.deviceId !== undefined && isOlder(user.token.issuedAt, rule.at);
}

function restricts(effect: SecurityEffect): boolean {
  return effect.effect === 'attributes' ? effect.loosens !== true : effect.effect !== 'restore';
}

function kindOf(rule: Rule): 'device' | 'workload' {
  return indexMembers(rule)[0]?.kind === 'device' ? 'device' : 'workload';
}

function refusalOf(rule: Rule, byToken: boolean, kind?: RefusedEvidence['kind']): Refusal {
  return refuseEvidence(refuse(byToken ? 'token_revoked' : 'identity_revoked', ruleWords(rule)), {
    kind: kind ?? (byToken ? 'token' : kindOf(rule)),
  });
}
