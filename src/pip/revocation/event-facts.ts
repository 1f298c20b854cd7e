import type { AttributeAnswer } from '../../pdp/attribute.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { AttributeSource } from '../../pdp/ports.ts';
import type { SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { attributeKey } from './entries.ts';
import { EVENT_ATTRIBUTES } from './event-attributes.ts';

/** No fact of ours goes stale before what would be the end of time for a `Date`. Unix ms. */
const NEVER = 8.64e15;
const NOTHING: AttributeAnswer = {
  status: 'absent',
  attributes: {},
  groups: [],
  observedAt: 0,
  freshUntil: NEVER,
};

/**
 * What security events have said of users and devices, as information points. There is one for each fact, since each was observed when its own
 * event happened. They are in memory: nothing they are asked waits or fails.
 */
export class EventFacts {
  readonly sources: readonly AttributeSource[];
  readonly #shared: SharedState;
  #any: boolean;

  constructor(shared: SharedState) {
    this.#shared = shared;
    this.#any = shared.list('attributes|').length > 0;
    this.sources = (['user', 'device'] as const).flatMap((subject) =>
      EVENT_ATTRIBUTES[subject].map((gives) => this.#source(subject, gives)),
    );
  }

  /** An event has said something. */
  noticed(): void {
    this.#any = true;
  }

  #source(subject: 'user' | 'device', gives: readonly string[]): AttributeSource {
    const fact = gives[0] ?? '';
    return {
      // A dot: no configured information point can have the name.
      name: `events.${subject}.${fact}`,
      subject,
      gives,
      quiet: true,
      onFailure: 'deny',
      lookup: (id) => {
        const entry = this.#any ? this.#shared.get(attributeKey({ kind: subject, id }, fact)) : undefined;
        return entry ? answerOf(entry, gives) : NOTHING;
      },
    };
  }
}

function answerOf({ at, expiresAt = NEVER, value }: SharedEntry, gives: readonly string[]): AttributeAnswer {
  const told = isRecord(value) && isRecord(value['attributes']) ? value['attributes'] : {};
  const known = Object.entries(told).filter(([name]) => gives.includes(name));
  return {
    status: 'found',
    attributes: Object.fromEntries(known),
    groups: [],
    observedAt: at,
    event: true,
    freshUntil: expiresAt,
  };
}
