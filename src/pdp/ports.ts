import type { AttributeAnswer, AttributeSubject, OnFailure } from './attribute.ts';
import type { Refusal } from './decision.ts';
import type { Evaluation } from './evaluation.ts';
import type { DeviceIdentity, Identities, ProvenWorkload, UserIdentity, Workloads } from './identity.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { Authenticated, DecisionTrace, Received } from './trace.ts';

/** Time, injected so that tests can own it. */
export interface Clock {
  /** Unix ms. */
  now(): number;
  /** Monotonic ms with microsecond digits; only differences mean anything. */
  monotonic(): number;
}

/** Turns the evidence about the workloads of a request into identities. Missing evidence is no identity, which is not an error. */
export interface WorkloadAuthenticator {
  /** `source`: who asks over a connection of its own, so that no PEP has to say who that is. */
  authenticate(
    received: Received,
    source?: ProvenWorkload,
  ): Workloads | Refusal | Promise<Workloads | Refusal>;
}

/** Verifies the user's token. `undefined`: no token was sent. Never falls back from a bad token to no token. */
export interface UserAuthenticator {
  authenticate(
    received: Received,
    workloads: Workloads,
  ): UserIdentity | Refusal | undefined | Promise<UserIdentity | Refusal | undefined>;
  /** Whether keys of every issuer are at hand; names the issuers without. */
  missingKeys(): readonly string[];
}

/** Proves the device id, by the user's token or by a signed posture assertion. `undefined`: no device. */
export interface DeviceAuthenticator {
  authenticate(
    received: Received,
    workloads: Workloads,
    user: UserIdentity | undefined,
  ): DeviceIdentity | Refusal | undefined | Promise<DeviceIdentity | Refusal | undefined>;
}

/** A policy information point: facts about one kind of subject. Implementations may throw; the stage applies `onFailure`. */
export interface AttributeSource {
  readonly name: string;
  readonly subject: AttributeSubject;
  /** Attribute names that this source may give, `groups` among them; anything else in its answers is dropped. */
  readonly gives: readonly string[];
  /** Its `absent` answers are not worth a line in a record. */
  readonly quiet?: true;
  /** What it means for what it gives that it does not answer, or answers what is wrong or too old. */
  readonly onFailure: OnFailure;
  /** The same for single attributes (`groups` among them), before `onFailure`. */
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
  /** `stale`: an answer that is past its freshness will do, within the bound of the source, while a new one is fetched. */
  lookup(subjectId: string, asker: Asker, stale?: boolean): AttributeAnswer | Promise<AttributeAnswer>;
  /** All subjects that the source knows, where it holds them all; absent: it cannot tell. */
  list?(): Iterable<string>;
  /** The last answer that may still be used where the source fails. */
  lastKnown?(subjectId: string): AttributeAnswer | undefined;
}

/** Who waits for an answer. */
export interface Asker {
  /**
   * Aborts when nobody waits any more; where time has run out, the reason is a `TimeoutError`. Made when it is first read, which costs: read it
   * only to wait.
   */
  readonly signal: AbortSignal;
}

/** What was revoked, and what security events have said. In memory: it never waits. */
export interface Revocations {
  /** Why somebody who takes part in the question may not, as things stand now; `undefined` where nothing is against it. */
  refusal(question: Authenticated): Refusal | undefined;
  /** The identities with what events have said of their tokens since these were issued. */
  revised(identities: Identities): Identities;
  /** Whether we hear of changes in time; while not, nothing that is cached may be used. */
  isCurrent(): boolean;
}

/** The policy set in force. */
export interface PolicySnapshotSource {
  /** The active snapshot; `undefined` before the first one loaded. One check uses one snapshot throughout. */
  current(): PolicySnapshot | undefined;
}

/** Where the policies of one slot come from, and what became of their newest change. */
export interface PolicySource extends PolicySnapshotSource, AsyncDisposable {
  /** Why the newest change was refused, or cannot be had; absent while what the source has is what is held. */
  readonly refusal: string | undefined;
  /** Looks for a change out of turn and takes it if it is valid. Never rejects. */
  reloadIfChanged(): Promise<void>;
  /** What an operator should know of the source: its kind, and the revision where it has one. */
  describe(): Readonly<Record<string, string | number>>;
}

/** Caches evaluations (never authentication). Implementations drop entries at `validUntil`. */
export interface DecisionCache {
  get(key: string, now: number): CachedEvaluation | undefined;
  set(key: string, value: CachedEvaluation, now: number): void;
}

/** A cached evaluation with its provenance. */
export interface CachedEvaluation {
  readonly evaluation: Evaluation;
  /** Id of the decision that evaluated. */
  readonly decisionId: string;
  /** Unix ms of the evaluation. */
  readonly evaluatedAt: number;
  /** Unix ms; the entry is dead from here on. */
  readonly validUntil: number;
}

/** Writes one record for each answer. Resolves when the configured durability is reached; rejects when the record is not safe. */
export interface Recorder {
  record(trace: DecisionTrace): Promise<void>;
}

/** Told of every finished check, for metrics and traces. Must not throw. */
export interface Observer {
  checked(trace: DecisionTrace): void;
  /** Told, in place of `checked`, of a check that was turned away: of many, and all alike. Absent: not told. Must not throw. */
  turnedAway?(trace: DecisionTrace): void;
}
