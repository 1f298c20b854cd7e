import type { AttributeRecord } from '../../pdp/attribute.ts';
import type { PartyMember } from './subject-identifiers.ts';

/** The members of an event. */
export type EventMembers = Readonly<Record<string, unknown>>;

/** What an event brings about, before it is said for whom. */
export type EventMeaning =
  /** Whatever was issued before is void. */
  | { readonly kind: 'void' }
  | { readonly kind: 'shut_off' }
  | { readonly kind: 'restore' }
  /** What is true of a user or a device from now on. `loosens`: a policy may permit more by it than before. */
  | {
      readonly kind: 'attributes';
      readonly of: 'user' | 'device';
      readonly attributes: AttributeRecord;
      readonly loosens: boolean;
    }
  | { readonly kind: 'claims'; readonly claims: EventMembers }
  | { readonly kind: 'none' };

/** What operators choose of the effects of a stream. */
export interface EffectChoices {
  /** Whether a credential that was changed, revoked or deleted makes void what was issued before. */
  readonly credentialChangeVoids: boolean;
  /** Principals whose high risk makes void what was issued to them before; policies cannot read their risk. */
  readonly highRiskVoids: readonly ('session' | 'tenant')[];
}

/** A type of event. */
export interface EventType {
  /** What a simple subject is the name of. */
  subject(members: EventMembers): PartyMember;
  /** Reads its members; the text says what is wrong with them. */
  read(members: EventMembers, choices: EffectChoices): EventMeaning | string;
}

/** An event about the account of a user that always means the same. */
export function about(kind: 'void' | 'shut_off' | 'restore' | 'none'): EventType {
  return { subject: () => 'user', read: () => ({ kind }) };
}

/** Whether a member is one of the listed strings. */
export function isOneOf<T extends string>(value: unknown, values: readonly T[]): value is T {
  return typeof value === 'string' && (values as readonly string[]).includes(value);
}

/** Whether a member is a short string that can be told to policies. */
export function isWord(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 255;
}
