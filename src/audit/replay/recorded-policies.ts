import { LRUCache } from 'lru-cache';
import { compileSnapshot } from '../../pdp/compile-snapshot.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { PolicyTexts } from '../../pdp/policy-source.ts';
import { policyTextsOf } from '../read/question.ts';
import { payloadDigest } from '../record/blob.ts';

/** A policy set as a pack holds it. */
export interface RecordedPolicies {
  /** Digest of the snapshot that the texts compile to. */
  readonly digest: string;
  /** Ids of the bindings in observe mode. */
  readonly observed: ReadonlySet<string>;
  /** The snapshot, built again where it was let go meanwhile. */
  snapshot(): PolicySnapshot;
}

/** Builds snapshots of recorded policy sets. */
export interface PolicyLibrary {
  /** The policies in a blob of a pack; `undefined`: it holds none that compile. */
  of(payload: Buffer): RecordedPolicies | undefined;
}

const MAX_SNAPSHOTS = 8;
const MAX_SETS = 1024;

/**
 * Keeps the `max` snapshots that were used last: each has an instance of the engine. What a set of texts compiles to is remembered for many
 * more, so that who holds on to a set does not hold on to an engine.
 */
export function createPolicyLibrary(max: number = MAX_SNAPSHOTS): PolicyLibrary {
  const snapshots = new LRUCache<string, PolicySnapshot>({ max });
  const sets = new LRUCache<string, { readonly policies?: RecordedPolicies }>({ max: MAX_SETS });
  const again = (key: string, payload: Buffer): PolicySnapshot => {
    const { snapshot } = compileSnapshot(textsOf(payload), 0);
    snapshots.set(key, snapshot);
    return snapshot;
  };
  const open = (key: string, payload: Buffer): RecordedPolicies | undefined => {
    const first = compiled(payload);
    if (!first) return undefined;
    snapshots.set(key, first);
    return {
      digest: first.digest,
      observed: new Set(first.bindings.observed),
      snapshot: () => snapshots.get(key) ?? again(key, payload),
    };
  };
  return {
    of(payload) {
      const key = payloadDigest(payload);
      const known = sets.get(key);
      if (known) return known.policies;
      const policies = open(key, payload);
      sets.set(key, policies ? { policies } : {});
      return policies;
    },
  };
}

function compiled(payload: Buffer): PolicySnapshot | undefined {
  try {
    return compileSnapshot(textsOf(payload), 0).snapshot;
  } catch {
    // Texts that were in force compile: these are others.
    return undefined;
  }
}

/** What is no policy texts does not compile. */
function textsOf(payload: Buffer): PolicyTexts {
  return (policyTextsOf(payload) ?? {}) as PolicyTexts;
}
