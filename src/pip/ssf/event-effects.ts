import type {
  AttributesChanged,
  ClaimsChanged,
  SecurityEffect,
  VoidBefore,
} from '../../pdp/security-event.ts';
import type { SubjectRef } from '../../pdp/subject-key.ts';
import type { ChangedClaims } from './changed-claims.ts';
import type { EffectChoices, EventMeaning } from './event-meaning.ts';
import { eventType } from './events/event-types.ts';
import { type SecurityEventToken, type SetProblem, setProblem } from './security-event-token.ts';
import { type EventSubject, type SubjectNames, readSubject } from './subject-identifiers.ts';

/** How the events of one stream are turned into effects. */
export interface EffectRules {
  /** Name of the stream: the source of its effects. */
  readonly stream: string;
  readonly names: SubjectNames;
  readonly choices: EffectChoices;
  /** Types of events that it may send, by URI; absent: all that are known. */
  readonly allowed?: ReadonlySet<string>;
  /** Reads changed claims as the issuer of a user would map them; `undefined`: they cannot be told, and older tokens are void. */
  readonly changedClaims: (user: SubjectRef, claims: Readonly<Record<string, unknown>>) => ChangedClaims;
}

/** What an event comes to. */
export type EffectsReading =
  /** `ignored`: members of the subject that were not understood. */
  | {
      readonly outcome: 'effects';
      readonly effects: readonly SecurityEffect[];
      readonly ignored: readonly string[];
    }
  /** Known, and without an effect here. */
  | { readonly outcome: 'no_effect'; readonly detail: string }
  /** For nobody that we could know, or more than what was said. */
  | { readonly outcome: 'discarded'; readonly detail: string }
  | { readonly outcome: 'unknown_event' }
  | { readonly outcome: 'refused'; readonly problem: SetProblem };

/**
 * What a verified event brings about at `now` (Unix ms). A type that is not known has no effect, and is no error: that is how protocols grow.
 */
export function effectsOf(set: SecurityEventToken, rules: EffectRules, now: number): EffectsReading {
  const type = eventType(set.type);
  if (type === undefined) return { outcome: 'unknown_event' };
  if (rules.allowed?.has(set.type) === false)
    return refused('access_denied', 'events of this type are not accepted on this stream');
  const at = eventTime(set, now);
  if (at === undefined) return refused('invalid_request', 'event_timestamp is not a number of seconds');
  const meaning = type.read(set.event, rules.choices);
  if (typeof meaning === 'string')
    return refused('invalid_request', `the event does not conform: ${meaning}`);
  const usual = type.subject(set.event);
  const member = usual === 'session' && set.subject['format'] !== 'opaque' ? 'user' : usual;
  const reading = readSubject(set.subject, member, rules.names);
  if ('malformed' in reading)
    return refused('invalid_request', `the subject does not conform: ${reading.malformed}`);
  if (meaning.kind === 'none') return { outcome: 'no_effect', detail: `${type.name} changes nothing here` };
  if ('discard' in reading) return { outcome: 'discarded', detail: reading.discard };
  return effectsFor(meaning, reading.subject, { rules, at, reason: type.name });
}

function refused(err: SetProblem['err'], description: string): EffectsReading {
  return { outcome: 'refused', problem: setProblem(err, description) };
}

/**
 * Unix ms of what happened. Never in the future, where it would undo what is issued after it; and not after the second in which the SET was issued, else
 * one that claims to be from the future could be kept, and be news whenever it is sent again.
 */
function eventTime({ event, issuedAt }: SecurityEventToken, now: number): number | undefined {
  const stated = event['event_timestamp'];
  if (stated === undefined || stated === null) return Math.min(issuedAt, now);
  if (typeof stated !== 'number' || stated < 0 || stated > Number.MAX_SAFE_INTEGER / 1000) return undefined;
  return Math.min(Math.floor(stated * 1000), issuedAt + 999, now);
}

interface Told {
  readonly rules: EffectRules;
  readonly at: number;
  readonly reason: string;
}

function effectsFor(meaning: EventMeaning, subject: EventSubject, told: Told): EffectsReading {
  const { alternatives, ignored } = subject;
  const common = { at: told.at, source: told.rules.stream, reason: told.reason };
  const done = (effects: readonly SecurityEffect[]): EffectsReading => ({
    outcome: 'effects',
    effects,
    ignored,
  });
  switch (meaning.kind) {
    case 'void':
      return done(alternatives.map((subjects) => voidBefore(subjects, told)));
    case 'shut_off':
      return done(alternatives.map((subjects) => ({ ...common, effect: 'shut_off', subjects })));
    case 'restore':
      // Who is not meant must not be let in again: what was not understood may have been about less.
      if (ignored.length > 0) return discarded('only a part of the subject is understood');
      return done(alternatives.map((subjects) => ({ ...common, effect: 'restore', subjects })));
    case 'attributes':
      return attributesFor(meaning, subject, told);
    case 'claims':
      return claimEffects(meaning.claims, subject, told);
    case 'none':
      return { outcome: 'no_effect', detail: `${told.reason} changes nothing here` };
  }
}

function discarded(detail: string): EffectsReading {
  return { outcome: 'discarded', detail };
}

function voidBefore(subjects: readonly SubjectRef[], { at, rules, reason }: Told): VoidBefore {
  return { effect: 'void_before', at, source: rules.stream, reason, subjects };
}

/** What a user or a device may be named together with, and be the same user or device still. */
const SAME_PARTY: Readonly<Record<'user' | 'device', readonly string[]>> = {
  user: ['user', 'email', 'tenant'],
  device: ['device', 'user', 'email', 'tenant'],
};

function attributesFor(
  { of, attributes, loosens }: EventMeaning & { readonly kind: 'attributes' },
  { alternatives, ignored }: EventSubject,
  { rules, at, reason }: Told,
): EffectsReading {
  const narrower =
    ignored.length > 0 || alternatives.flat().some(({ kind }) => !SAME_PARTY[of].includes(kind));
  if (loosens && narrower) return discarded(`the event is about less than the ${of}, and loosens`);
  const effects = alternatives.flat().flatMap((ref): AttributesChanged[] =>
    ref.kind === of
      ? [
          {
            effect: 'attributes',
            at,
            source: rules.stream,
            reason,
            subject: { kind: of, id: ref.id },
            attributes,
            ...(loosens && { loosens }),
          },
        ]
      : [],
  );
  const once = effects.filter(
    (one, index) => effects.findIndex(({ subject }) => subject.id === one.subject.id) === index,
  );
  if (once.length === 0) return discarded(`the subject names no ${of} that is known here`);
  return { outcome: 'effects', effects: once, ignored };
}

/** Claims are those of a user. Of anything less (a session, a token), and where they cannot be told, older tokens are void. */
function claimEffects(
  claims: Readonly<Record<string, unknown>>,
  { alternatives, ignored }: EventSubject,
  told: Told,
): EffectsReading {
  const effects = alternatives.flatMap((subjects): (ClaimsChanged | VoidBefore)[] => {
    const user = subjects.find(({ kind }) => kind === 'user');
    const whole = ignored.length === 0 && subjects.every(({ kind }) => kind === 'user' || kind === 'tenant');
    const changed = user && whole ? told.rules.changedClaims(user, claims) : undefined;
    if (!user || !changed) return [voidBefore(subjects, told)];
    if (Object.keys(changed.claims).length === 0 && !changed.groups) return [];
    const { at, rules, reason } = told;
    return [
      {
        effect: 'claims',
        at,
        source: rules.stream,
        reason,
        subject: { kind: 'user', id: user.id },
        ...changed,
      },
    ];
  });
  return effects.length === 0
    ? { outcome: 'no_effect', detail: 'none of the claims is mapped here' }
    : { outcome: 'effects', effects, ignored };
}
