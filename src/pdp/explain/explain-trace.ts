import { CedarChecker } from '../cedar.ts';
import type { PolicyEntry, PolicySnapshot } from '../policy-snapshot.ts';
import type { SlotValues } from '../template-links.ts';
import type { DecisionTrace } from '../trace.ts';
import { explain } from './explain.ts';
import type { ExplainablePolicy, Explanation } from './explanation.ts';

/** Above this many policies only those whose scope matches are looked at: reading the others takes longer than a reader waits. */
const MAX_READ = 2000;

/** What of a decision's trace its explanation is made of: a recorded decision has no more. */
export type ExplainableTrace = Pick<
  DecisionTrace,
  'cedar' | 'facts' | 'evaluation' | 'receivedAt' | 'identities' | 'omissions' | 'postureLeftOut'
>;

/** Explains decisions that one snapshot made. Keeps an engine of its own that serves nobody, and what it has read. */
export class TraceExplainer {
  readonly #snapshot: PolicySnapshot;
  readonly #read = new Map<string, ExplainablePolicy | undefined>();
  #checker: CedarChecker | undefined;

  constructor(snapshot: PolicySnapshot) {
    this.#snapshot = snapshot;
  }

  /** Why the decision came out as it did; `undefined` where Cedar was not asked. Never throws over what policies say. */
  explain(trace: ExplainableTrace): Explanation | undefined {
    const { cedar, facts, evaluation, receivedAt } = trace;
    if (!cedar || !facts || !evaluation) return undefined;
    const { policyIds, schema } = this.#snapshot;
    const ids = policyIds.length <= MAX_READ ? policyIds : this.#snapshot.candidates(cedar);
    this.#checker ??= new CedarChecker();
    const policies = ids.flatMap((id) => this.#policy(id) ?? []);
    const check = { ...trace, cedar, facts };
    return explain(check, policies, schema, evaluation, receivedAt, this.#checker);
  }

  #policy(id: string): ExplainablePolicy | undefined {
    if (!this.#read.has(id)) this.#read.set(id, this.#readPolicy(this.#snapshot.policy(id)));
    return this.#read.get(id);
  }

  #readPolicy({ id, text, file, line, column, link }: PolicyEntry): ExplainablePolicy | undefined {
    const parsed = link ? this.#checker?.template(text) : this.#checker?.policy(text);
    if (!parsed || !('json' in parsed)) return undefined;
    const json = link ? withSlots(parsed.json, link.values) : parsed.json;
    return { id, effect: parsed.json.effect, text, file, line, column, json };
  }
}

/** Cedar's JSON of a linked policy: the template's, with its slots filled. */
function withSlots<T>(json: T, values: SlotValues): T {
  return JSON.parse(JSON.stringify(json), (_key, value: unknown) => {
    const slot = (value as { slot?: keyof SlotValues } | null)?.slot;
    if (typeof slot !== 'string') return value;
    const { slot: _slot, ...rest } = value as { slot: string };
    return { ...rest, entity: values[slot] };
  }) as T;
}
