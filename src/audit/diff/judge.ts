import { type Decision, type Refusal, denyFor, isRefusal, refuse } from '../../pdp/decision.ts';
import { typeName } from '../../pdp/entities.ts';
import { type CedarRequest, type EntityUid, type Evaluation, uidText } from '../../pdp/evaluation.ts';
import type { PolicySnapshot, RecordShape } from '../../pdp/policy-snapshot.ts';
import { concludeEvaluation } from '../../pdp/stages/conclude.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import type { DiffWhy } from './change.ts';
import { circumstancesOf } from './circumstances.ts';
import { Comparison } from './comparison.ts';
import type { CurrentFacts, Fresh } from './current-facts.ts';
import { partiesOf } from './party.ts';
import type { Recorded } from './recorded.ts';
import { type Routes, routesOf } from './route.ts';
import { type Settled, Settling } from './settle.ts';
import { sliceOf } from './slice.ts';
import type { Unknown } from './unknown.ts';

/** What the new policies say to a recorded question. */
export type Judged =
  | { readonly kind: 'decided'; readonly decision: Decision }
  | OpenJudgement
  /** The engine took no question of it; `about`: the reason. */
  | { readonly kind: 'error'; readonly about: string };

/** It cannot be told. */
export interface OpenJudgement {
  readonly kind: 'open';
  readonly why: DiffWhy;
  /** What is missing, by names. */
  readonly about: readonly string[];
  /** What it may come to. */
  readonly may: readonly ('ALLOW' | 'DENY')[];
}

/** A recorded question with all that is known of it. */
export interface Case {
  readonly record: DecisionRecord;
  readonly recorded: Recorded;
  readonly question: CedarRequest;
  /** The snapshot that decided it. */
  readonly old: PolicySnapshot;
}

const BOTH = ['ALLOW', 'DENY'] as const;
const MAX_COMPARISONS = 8;

/** Says what recorded questions would come to under one snapshot. */
export class Judge {
  readonly next: PolicySnapshot;
  readonly #facts: CurrentFacts | undefined;
  readonly #settling: Settling;
  readonly #comparisons = new Map<string, Comparison>();

  /** `facts`: the information points to ask; absent: facts are those that were recorded. */
  constructor(next: PolicySnapshot, facts?: CurrentFacts) {
    this.next = next;
    this.#facts = facts;
    this.#settling = new Settling(next);
  }

  /** Judges one question. Never guesses. */
  async judge(one: Case): Promise<Judged> {
    const { recorded, question, old } = one;
    const routes = routesOf(recorded, old, this.next);
    if (isRefusal(routes)) return this.#denied(routes);
    if ('unseen' in routes) return open('needs_facts', routes.unseen);
    const action = actionNow(one, routes);
    const shape = this.next.contextShape(action);
    const unfit = this.unfit(action, question.principal.type);
    if (!shape || unfit) return this.#denied(unfit ?? refuse('no_binding'));
    const fresh = await this.#fresh(one, routes, shape);
    if ('failed' in fresh) return open('facts_unavailable', [fresh.failed]);
    return this.#judgeRebuilt(one, { routes, action, shape, fresh });
  }

  /** Why an action cannot be asked about at all; `undefined`: it can. */
  unfit(action: EntityUid, principalType: string): Refusal | undefined {
    if (!this.next.contextShape(action)) return refuse('no_binding');
    if (this.next.appliesTo(action, principalType)) return undefined;
    return refuse(principalType === typeName('Anonymous') ? 'authentication_required' : 'no_permit');
  }

  #judgeRebuilt(one: Case, { routes, action, shape, fresh }: Rebuilding): Judged {
    const { recorded, question, old } = one;
    const comparison = this.#comparisonWith(old);
    const { entities: freshEntities, ip } = fresh;
    const slice = sliceOf({
      comparison,
      recorded,
      question,
      routes,
      ...(freshEntities && { fresh: freshEntities }),
    });
    const parts = { comparison, recorded, question, action, shape };
    const values = ip && (Object.keys(ip.attributes).length === 0 ? {} : { ip_facts: ip.attributes });
    const { context, unknowns } = circumstancesOf({ ...parts, ...(values && { ipFacts: { values } }) });
    const { principal } = question;
    const request = { principal, action, resource: slice.resource, context, entities: slice.entities };
    const settled = this.#settling.settle(request, distinct([...slice.unknowns, ...unknowns]));
    return this.#told(one, settled, { routes, action, resource: slice.resource });
  }

  #told(one: Case, settled: Settled, asked: Rebound): Judged {
    if (settled.kind === 'refused') return { kind: 'error', about: settled.reason };
    if (settled.kind === 'settled')
      return { kind: 'decided', decision: this.#concluded(one, settled.evaluation, asked.routes) };
    const may = settled.verdicts.map((verdict) => (verdict === 'permit' ? 'ALLOW' : 'DENY'));
    const other = otherBinding(one.question, asked);
    const about = settled.unknowns.map(({ name }) => name);
    return {
      kind: 'open',
      why: other ? 'other_binding' : 'needs_facts',
      about: [...(other ?? []), ...about],
      may,
    };
  }

  #concluded({ record }: Case, evaluation: Evaluation, { is }: Routes): Decision {
    const { accepts_tokens: acceptsTokens } = record;
    return concludeEvaluation({
      evaluation,
      snapshot: this.next,
      // The record says it only where nobody was identified.
      anonymous: acceptsTokens !== undefined,
      acceptsTokens: acceptsTokens === true,
      observed: is?.observe === true,
    });
  }

  #denied(refusal: Refusal): Judged {
    return { kind: 'decided', decision: denyFor(refusal, this.next.digest) };
  }

  #comparisonWith(old: PolicySnapshot): Comparison {
    const known = this.#comparisons.get(old.digest);
    if (known) return known;
    const [oldest] = this.#comparisons.keys();
    if (this.#comparisons.size >= MAX_COMPARISONS && oldest !== undefined) this.#comparisons.delete(oldest);
    const comparison = new Comparison(old, this.next);
    this.#comparisons.set(old.digest, comparison);
    return comparison;
  }

  /** What information points say now of everybody in the question. */
  async #fresh(
    one: Case,
    { is }: Routes,
    shape: RecordShape,
  ): Promise<FreshFacts | { readonly failed: string }> {
    if (!this.#facts) return {};
    const { recorded, question } = one;
    const bound =
      is?.resource.pip === undefined ? [] : [{ uid: is.resource.uid, subjects: [is.resource.pip] }];
    const entities = new Map<string, Fresh>();
    for (const { uid, subjects } of [...partiesOf(recorded, question, this.next), ...bound]) {
      const found = await this.#facts.about(uid, subjects);
      if (found && 'failed' in found) return found;
      if (found) entities.set(uidText(uid), found);
    }
    const ip = await this.#facts.ofAddress(question.context['ip'], shape);
    if (ip && 'failed' in ip) return ip;
    return { entities, ...(ip && { ip }) };
  }
}

interface FreshFacts {
  readonly entities?: ReadonlyMap<string, Fresh>;
  readonly ip?: Fresh;
}

interface Rebuilding {
  readonly routes: Routes;
  readonly action: EntityUid;
  readonly shape: RecordShape;
  readonly fresh: FreshFacts;
}

/** The question as it is put now. */
interface Rebound {
  readonly routes: Routes;
  readonly action: EntityUid;
  readonly resource: EntityUid;
}

function open(why: DiffWhy, about: readonly string[]): OpenJudgement {
  return { kind: 'open', why, about, may: BOTH };
}

function actionNow({ recorded: { http }, question }: Case, { is }: Routes): EntityUid {
  return http ? (is?.action ?? { type: typeName('Action'), id: http.method }) : question.action;
}

/** Both questions, where they differ; without the ids of objects. */
function otherBinding(was: CedarRequest, is: Rebound): readonly string[] | undefined {
  if (uidText(was.action) === uidText(is.action) && uidText(was.resource) === uidText(is.resource))
    return undefined;
  return [`then ${termsText(was)}; now ${termsText(is)}`];
}

/** An action on a type, in words. */
export function termsText({
  action,
  resource,
}: {
  readonly action: EntityUid;
  readonly resource: EntityUid;
}): string {
  return `${uidText(action)} on ${resource.type}`;
}

function distinct(unknowns: readonly Unknown[]): readonly Unknown[] {
  return [...new Map(unknowns.map((unknown) => [unknown.name, unknown])).values()];
}
