import { LRUCache } from 'lru-cache';
import type { AttributeFact, AttributeRecord } from '../../pdp/attribute.ts';
import { CallScope } from '../../pdp/call-scope.ts';
import { isRefusal } from '../../pdp/decision.ts';
import { GROUP_TYPES } from '../../pdp/entities.ts';
import { type EntityUid, uidText } from '../../pdp/evaluation.ts';
import { ask } from '../../pdp/facts/ask.ts';
import { IP_FACTS, IP_SUBJECT } from '../../pdp/facts/ip-facts.ts';
import { Knowledge } from '../../pdp/facts/knowledge.ts';
import { type Holder, Readings } from '../../pdp/facts/reading.ts';
import type { PolicySnapshot, RecordShape } from '../../pdp/policy-snapshot.ts';
import type { AttributeSource, Clock } from '../../pdp/ports.ts';

/** What information points say of an entity now. */
export interface Fresh {
  /** What they are there to say; of this nothing that was recorded stands. `groups` among them. */
  readonly gives: ReadonlySet<string>;
  readonly attributes: AttributeRecord;
  readonly groups: readonly EntityUid[];
}

/** An information point that could not answer. */
export interface FactsFailure {
  /** Name of the point. */
  readonly failed: string;
}

/** What {@link CurrentFacts} needs. */
export interface CurrentFactsOptions {
  readonly sources: readonly AttributeSource[];
  /** The new snapshot: only what its policies read is asked for. */
  readonly snapshot: PolicySnapshot;
  readonly clock: Clock;
  /** How long one subject may take, in ms. */
  readonly timeoutMs: number;
}

const MAX_KNOWN = 20_000;

/** Asks information points as things stand now, each subject once in a run. */
export class CurrentFacts {
  readonly #options: CurrentFactsOptions;
  readonly #readings = new Readings();
  readonly #known = new LRUCache<string, Promise<Fresh | FactsFailure>>({ max: MAX_KNOWN });

  constructor(options: CurrentFactsOptions) {
    this.#options = options;
  }

  /** What points with one of the subjects say of an entity; `undefined`: there is none to ask. Never rejects. */
  async about(uid: EntityUid, subjects: readonly string[]): Promise<Fresh | FactsFailure | undefined> {
    const shape = this.#options.snapshot.entityShape(uid.type);
    const asked = this.#options.sources.filter(({ subject }) => subjects.includes(subject));
    if (!shape || asked.length === 0) return undefined;
    return await this.#once(`${subjects.join(' ')} ${uidText(uid)}`, () => this.#ask(uid, shape, asked));
  }

  /** What points say of an address; `undefined`: there is none to ask, or nobody reads it. Never rejects. */
  async ofAddress(address: unknown, context: RecordShape): Promise<Fresh | FactsFailure | undefined> {
    const { sources, snapshot } = this.#options;
    const type = snapshot.reads.contextKeys.has(IP_FACTS) ? context.fields.get(IP_FACTS)?.type : undefined;
    const asked = sources.filter(({ subject }) => subject === IP_SUBJECT);
    if (type?.kind !== 'record' || asked.length === 0) return undefined;
    if (typeof address !== 'string') return { failed: `${IP_SUBJECT} (the address was not recorded)` };
    return await this.#once(`${IP_SUBJECT} ${address}`, () => this.#askAddress(address, type.shape, asked));
  }

  #once(key: string, make: () => Promise<Fresh | FactsFailure>): Promise<Fresh | FactsFailure> {
    let known = this.#known.get(key);
    if (!known) this.#known.set(key, (known = make()));
    return known;
  }

  async #ask(
    uid: EntityUid,
    shape: RecordShape,
    sources: readonly AttributeSource[],
  ): Promise<Fresh | FactsFailure> {
    const names = this.#options.snapshot.reads.attributes;
    const holderOf = ({ subject }: AttributeSource): Holder => {
      const groupType = GROUP_TYPES[subject];
      return { shape, names, ...(groupType !== undefined && { groupType }) };
    };
    const facts = await this.#facts(uid.id, sources, holderOf);
    if ('failed' in facts) return facts;
    const knowledge = this.#knowledge(facts);
    const { attributes, groups } = knowledge.about(
      sources.map(({ subject }) => subject),
      uid,
    );
    return this.#fresh(sources, knowledge, { attributes, groups });
  }

  async #askAddress(
    address: string,
    shape: RecordShape,
    sources: readonly AttributeSource[],
  ): Promise<Fresh | FactsFailure> {
    const { wholeAttributes, attributes } = this.#options.snapshot.reads;
    const names = wholeAttributes.has(IP_FACTS) ? 'all' : attributes;
    const facts = await this.#facts(address, sources, () => ({ shape, names }));
    if ('failed' in facts) return facts;
    const knowledge = this.#knowledge(facts);
    return this.#fresh(sources, knowledge, {
      attributes: knowledge.ofAddress(address, shape, names) ?? {},
      groups: [],
    });
  }

  #knowledge(facts: readonly AttributeFact[]): Knowledge {
    const { snapshot, clock } = this.#options;
    return new Knowledge({ facts, snapshot, receivedAt: clock.now(), identities: { tokenState: 'absent' } });
  }

  #fresh(
    sources: readonly AttributeSource[],
    { refusal }: Knowledge,
    found: Pick<Fresh, 'attributes' | 'groups'>,
  ): Fresh | FactsFailure {
    // What must be known is older than the schema allows.
    if (refusal) return { failed: sources.map(({ name }) => name).join(', ') };
    return { gives: new Set(sources.flatMap(({ gives }) => gives)), ...found };
  }

  async #facts(
    subjectId: string,
    sources: readonly AttributeSource[],
    holderOf: (source: AttributeSource) => Holder,
  ): Promise<readonly AttributeFact[] | FactsFailure> {
    const { snapshot, clock, timeoutMs } = this.#options;
    using scope = new CallScope(clock, timeoutMs);
    const facts: AttributeFact[] = [];
    const outcomes = sources.map((source) => {
      const reading = this.#readings.of(source, holderOf(source), snapshot);
      return { source, outcome: reading && ask({ source, reading, subjectId }, scope) };
    });
    for (const { source, outcome } of outcomes) {
      const answer = await outcome;
      if (answer === undefined) continue;
      // What it would mean in a check that it does not answer is not asked: here it means that it is not known.
      if (isRefusal(answer) || answer.status === 'omitted') return { failed: source.name };
      if (answer.status === 'silent') continue;
      if (answer.failure !== undefined) return { failed: source.name };
      facts.push(answer);
    }
    return facts;
  }
}
