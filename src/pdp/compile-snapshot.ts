import { type AnalysedPolicies, analysePolicies, policyTextSet } from './analyse-policies.ts';
import { BindingTable } from './bindings/binding-table.ts';
import { CedarEngine } from './cedar.ts';
import type { Problem } from './errors.ts';
import { uidText } from './evaluation.ts';
import type { PolicyEntry, PolicySnapshot } from './policy-snapshot.ts';
import type { PolicyTexts } from './policy-source.ts';
import { ScopeIndex } from './scope-index.ts';

/** A snapshot with what its author should still know. */
export interface CompiledSnapshot {
  readonly snapshot: PolicySnapshot;
  /** Validation warnings, in words, with positions. */
  readonly warnings: readonly Problem[];
}

/** Analyses and assembles in one go, on this thread. Throws `InputError` with every problem found. */
export function compileSnapshot(texts: PolicyTexts, now: number): CompiledSnapshot {
  const analysed = analysePolicies(texts);
  return { snapshot: assembleSnapshot(analysed, now), warnings: analysed.warnings };
}

/**
 * Makes a snapshot of analysed policies. Cheap: the engine parses policies only when a request first needs them, in the slice of
 * the set whose scopes can match.
 */
export function assembleSnapshot(analysed: AnalysedPolicies, now: number): PolicySnapshot {
  const { shapes, entities, templates, entries } = analysed;
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const index = new ScopeIndex(entries.map((entry) => entry.scope));
  const engine = CedarEngine.load({ schema: analysed.schema, policies: {} });
  const entryOf = (id: string): PolicyEntry => {
    const entry = byId.get(id);
    if (!entry) throw new TypeError(`no policy '${id}' in the snapshot`);
    return entry;
  };
  const candidates: PolicySnapshot['candidates'] = (request) =>
    index.lookup(request, shapes.actionAncestors.get(uidText(request.action)) ?? []);
  return {
    digest: analysed.digest,
    loadedAt: now,
    schema: analysed.schema,
    policyIds: [...byId.keys()],
    reads: analysed.reads,
    literalEntities: analysed.literalEntities,
    bindings: new BindingTable(analysed.bindings),
    upstreamHeaders: [
      ...new Set(entries.flatMap(({ notes }) => notes.upstreamHeaders ?? []).map(([name]) => name)),
    ],
    appliesTo: (action, principalType) =>
      shapes.appliesTo.get(uidText(action))?.principalTypes.has(principalType) ?? false,
    policy: entryOf,
    notes: (id) => entryOf(id).notes,
    contextShape: (action) => shapes.contexts.get(uidText(action)),
    entityShape: (type) => shapes.entities.get(type),
    staticEntity: (uid) => entities.get(uid),
    candidates,
    evaluate(request) {
      const ids = candidates(request).toSorted();
      // Sorted, so that equal slices are one slice whatever order they were found in.
      return engine.evaluate(request, {
        key: ids.join(' '),
        load: () => policyTextSet(ids.map(entryOf), templates),
      });
    },
  };
}
