import type { AnalysedPolicies } from '../analyse-policies.ts';
import type { CedarRequest } from '../evaluation.ts';
import type { SliceDistinctions } from '../distinctions.ts';
import { likenessOf } from './likeness.ts';
import { narrowed } from './narrow.ts';
import { type Planning, type QuestionPlan, planQuestion } from './plan.ts';
import { type DeclaredAction, schemaOf } from './schema.ts';

/** What the engine is told of questions about one action. */
export interface ActionView {
  /** Equal keys mean equal schemas. */
  readonly key: string;
  /** The schema for what it is told; asked for only where the engine does not hold it yet. */
  schema(): object;
  /** The question as it is told; `undefined`: whole, by the whole schema. */
  narrowed(request: CedarRequest): CedarRequest | undefined;
  /** What policies that can tell so much apart can tell of the question; `undefined`: no less than the whole question. */
  likeness(request: CedarRequest, distinctions: SliceDistinctions): unknown[] | undefined;
}

/** What the views of a snapshot are made from. */
export interface ViewParts extends Planning {
  /** Uid texts of actions that conditions of policies name. */
  readonly namedActions: readonly string[];
}

/** Makes the views of analysed policies. */
export function viewsOf(analysed: Omit<AnalysedPolicies, 'entries'>): ActionViews {
  const staticTypes = new Set([...analysed.entities.values()].map(({ uid }) => uid.type));
  return new ActionViews({ ...analysed, staticTypes });
}

/** Schemas are never given back by the engine; a set with more actions than this has the others told whole. */
const MAX_VIEWS = 256;

/** Each takes the engine about a millisecond. */
const MAX_EARLY = 32;

/** The views of a snapshot's actions, made when they are first asked for. */
export class ActionViews {
  readonly #parts: ViewParts;
  readonly #views = new Map<string, ActionView | undefined>();

  constructor(parts: ViewParts) {
    this.#parts = parts;
  }

  /** Those that are worth to be prepared before they are asked for: of every action where there are few. */
  *early(): Iterable<ActionView> {
    for (const action of [...this.#parts.shapes.appliesTo.keys()].slice(0, MAX_EARLY)) {
      const view = this.of(action);
      if (view) yield view;
    }
  }

  /** The view of the action with this uid text; `undefined`: there is none. */
  of(action: string): ActionView | undefined {
    const known = this.#views.get(action);
    if (known || this.#views.has(action)) return known;
    if (this.#views.size >= MAX_VIEWS || !this.#parts.shapes.appliesTo.has(action)) return undefined;
    const plan = planQuestion(action, this.#parts);
    const view = plan && this.#view(action, plan);
    this.#views.set(action, view);
    return view;
  }

  #view(action: string, plan: QuestionPlan): ActionView | undefined {
    const { shapes, namedActions } = this.#parts;
    const scope = shapes.appliesTo.get(action);
    return (
      scope && {
        key: action,
        schema: () => schemaOf(plan, scope, this.#declared([action, ...namedActions])),
        narrowed: (request) => narrowed(request, plan),
        likeness: (request, distinctions) => {
          const told = narrowed(request, plan);
          return told && likenessOf(told, plan, distinctions);
        },
      }
    );
  }

  /** Actions with all groups that they are in. */
  #declared(actions: readonly string[]): DeclaredAction[] {
    const { actionAncestors, actionUids } = this.#parts.shapes;
    const ancestorsOf = (text: string): readonly string[] => actionAncestors.get(text) ?? [];
    const uidsOf = (texts: Iterable<string>) =>
      [...texts].flatMap((text) => {
        const uid = actionUids.get(text);
        return uid ? [{ text, uid }] : [];
      });
    const known = new Set(actions.flatMap((text) => [text, ...ancestorsOf(text)]));
    return uidsOf(known).map(({ text, uid }) => ({
      uid,
      groups: uidsOf(ancestorsOf(text)).map((group) => group.uid),
    }));
  }
}
