import { type AnalysedPolicies, analysePolicies, policyTextSet } from './analyse-policies.ts';
import { BindingTable } from './bindings/binding-table.ts';
import { CedarEngine } from './cedar.ts';
import { joinDistinctions } from './distinctions.ts';
import { PdpError, type Problem } from './errors.ts';
import { type CedarEntity, type EntityUid, uidText } from './evaluation.ts';
import type { PolicyEntry, PolicySnapshot } from './policy-snapshot.ts';
import type { PolicyTexts } from './policy-source.ts';
import type { SchemaShapes } from './schema-shape.ts';
import { ScopeIndex } from './scope-index.ts';
import { Slices } from './slices.ts';
import { type ActionViews, viewsOf } from './view/action-views.ts';

/** A snapshot with what its author should still know. */
export interface CompiledSnapshot {
  readonly snapshot: PolicySnapshot;
  /** Validation warnings, in words, with positions. */
  readonly warnings: readonly Problem[];
}

/** The policies of a snapshot while it is being put together, one by one. */
export class PolicyEntries {
  readonly byId = new Map<string, PolicyEntry>();
  readonly index = new ScopeIndex();
  readonly upstreamHeaders = new Set<string>();

  /** Adds one policy. */
  add(entry: PolicyEntry): void {
    this.byId.set(entry.id, entry);
    this.index.add(entry.scope);
    for (const [name] of entry.notes.upstreamHeaders ?? []) this.upstreamHeaders.add(name);
  }
}

/** Analyses and assembles in one go, on this thread. Throws `InputError` with every problem found. */
export function compileSnapshot(texts: PolicyTexts, now: number): CompiledSnapshot {
  const analysed = analysePolicies(texts);
  const entries = new PolicyEntries();
  for (const entry of analysed.entries) entries.add(entry);
  const engine = CedarEngine.load({ schema: analysed.schema, policies: {} });
  const views = viewsOf(analysed);
  for (const view of views.early()) engine.prepare(view);
  const snapshot = assembleSnapshot(analysed, { entries, engine, views, texts }, now);
  return { snapshot, warnings: analysed.warnings };
}

/** What a snapshot is made of beside what analysis found. */
export interface SnapshotParts {
  readonly entries: PolicyEntries;
  readonly engine: CedarEngine;
  readonly views: ActionViews;
  readonly texts: PolicyTexts;
}

/**
 * Makes a snapshot of analysed policies. Cheap: the engine parses policies only when a request first needs them, in the slice of
 * the set whose scopes can match.
 */
export function assembleSnapshot(
  analysed: Omit<AnalysedPolicies, 'entries'>,
  { entries: { byId, index, upstreamHeaders }, engine, views, texts }: SnapshotParts,
  now: number,
): PolicySnapshot {
  const { shapes, entities, templates } = analysed;
  const entryOf = (id: string): PolicyEntry => {
    const entry = byId.get(id);
    if (!entry) throw new TypeError(`no policy '${id}' in the snapshot`);
    return entry;
  };
  const candidates: PolicySnapshot['candidates'] = (request) =>
    index.lookup(request, shapes.actionAncestors.get(uidText(request.action)) ?? []);
  const textsOf = (ids: readonly string[]) => policyTextSet(ids.map(entryOf), templates);
  const distinctionsOf = (ids: readonly string[]) =>
    joinDistinctions(ids.map((id) => entryOf(id).distinctions));
  const slices = new Slices({ candidates, textsOf, distinctionsOf });
  return {
    digest: analysed.digest,
    loadedAt: now,
    schema: analysed.schema,
    texts,
    policyIds: [...byId.keys()],
    reads: analysed.reads,
    literalEntities: analysed.literalEntities,
    bindings: new BindingTable(analysed.bindings),
    upstreamHeaders: [...upstreamHeaders],
    appliesTo: (action, principalType) =>
      shapes.appliesTo.get(uidText(action))?.principalTypes.has(principalType) ?? false,
    policy: entryOf,
    notes: (id) => entryOf(id).notes,
    contextShape: (action) => shapes.contexts.get(uidText(action)),
    entityShape: (type) => shapes.entities.get(type),
    staticEntity: (uid) => entities.get(uid),
    staticIds: (type) => staticIdsOf(entities, type),
    actionsFor: (principalType, resourceType) => actionsFor(shapes, principalType, resourceType),
    candidates,
    typicalQuestions: () => slices.typicalQuestions(),
    prepare(question) {
      try {
        engine.prepareSlice(slices.of(question));
      } catch (error) {
        if (!(error instanceof PdpError)) throw error;
      }
    },
    likeness(request) {
      const slice = slices.distinctions(request);
      const told = slice && views.of(uidText(request.action))?.likeness(request, slice.joined);
      return slice && told && [slice.key, told];
    },
    evaluate: (request, without) =>
      engine.evaluate(request, slices.of(request, without), views.of(uidText(request.action))),
  };
}

function staticIdsOf(entities: ReadonlyMap<string, CedarEntity>, type: string): readonly string[] {
  return [...entities.values()].flatMap(({ uid }) => (uid.type === type ? [uid.id] : [])).sort();
}

function actionsFor({ appliesTo }: SchemaShapes, principal: string, resource: string): readonly EntityUid[] {
  return [...appliesTo.values()].flatMap(({ uid, principalTypes, resourceTypes }) =>
    principalTypes.has(principal) && resourceTypes.has(resource) ? [uid] : [],
  );
}
