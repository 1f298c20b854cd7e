import type { AttributeRecord } from './attribute.ts';
import type { SubjectRef } from './subject-key.ts';

interface Effect {
  /** Unix ms: when what is told happened, not when it was told. */
  readonly at: number;
  /** Who says so: `admin`, or the name of an event stream. */
  readonly source: string;
  /** For operators and records; without credentials. */
  readonly reason?: string;
}

/** Whatever was issued to the subjects (all of them together) before `at` is void. */
export interface VoidBefore extends Effect {
  readonly effect: 'void_before';
  readonly subjects: readonly SubjectRef[];
}

/** The subject is shut off, until `until` (Unix ms) or until it is restored. */
export interface ShutOff extends Effect {
  readonly effect: 'shut_off';
  readonly subjects: readonly SubjectRef[];
  readonly until?: number;
}

/** Ends a {@link ShutOff} of the same subjects, by the same source, that began earlier; an administrator ends those of all. What was void stays void. */
export interface Restore extends Effect {
  readonly effect: 'restore';
  readonly subjects: readonly SubjectRef[];
}

/** What is true of a user or a device from now on, until a later observation says otherwise. */
export interface AttributesChanged extends Effect {
  readonly effect: 'attributes';
  readonly subject: SubjectRef & { readonly kind: 'user' | 'device' };
  readonly attributes: AttributeRecord;
  /** A policy may permit more by it than before. */
  readonly loosens?: true;
}

/** What the tokens of a user that were issued before `at` would say today: mapped claims by attribute name, and groups where they changed. */
export interface ClaimsChanged extends Effect {
  readonly effect: 'claims';
  readonly subject: SubjectRef & { readonly kind: 'user' };
  readonly claims: AttributeRecord;
  readonly groups?: readonly string[];
}

/** What a security event, or an administrator, brings about. */
export type SecurityEffect = VoidBefore | ShutOff | Restore | AttributesChanged | ClaimsChanged;

/** The security event that says so. */
export interface EventOrigin {
  /** Name of the stream that it came on. */
  readonly stream: string;
  /** Short name of its type. */
  readonly event: string;
  /** `jti` of its SET, of at most 255 characters. */
  readonly id: string;
}

/** Puts the effects of security events in force on every replica. */
export interface SecurityEffects {
  /**
   * Resolves when the effects are as durable as configured. Applying one twice, or an older one late, changes nothing. Rejects with `PdpError`
   * `state_unavailable` where they may not have been taken, and `audit_unavailable` where that cannot be recorded. `event`: for the records, where one
   * says so.
   */
  apply(effects: readonly SecurityEffect[], event?: EventOrigin): Promise<void>;
}
