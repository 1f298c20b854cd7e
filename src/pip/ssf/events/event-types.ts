import type { EventType } from '../event-meaning.ts';
import { CAEP, CAEP_EVENTS } from './caep.ts';
import { RISC, RISC_EVENTS } from './risc.ts';

/** Where the URIs of the events about streams begin (SSF 1.0 §8.1). */
export const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/';

const FAMILIES = [
  { base: CAEP, events: CAEP_EVENTS },
  { base: RISC, events: RISC_EVENTS },
] as const;

/** URIs of all types of events that can have an effect here or that are known to have none. */
export const EVENT_TYPES: readonly string[] = FAMILIES.flatMap(({ base, events }) =>
  Object.keys(events).map((name) => `${base}${name}`),
);

/** Short names of all types of events, those about streams among them: the last part of the URI. */
export const EVENT_NAMES: readonly string[] = [
  ...FAMILIES.flatMap(({ events }) => Object.keys(events)),
  'verification',
  'stream-updated',
];

/** URI of the type with this short name; `undefined` where there is none. */
export function eventTypeNamed(name: string): string | undefined {
  return EVENT_TYPES.find((type) => type.endsWith(`/${name}`));
}

/** The type of event with this URI; `undefined` where it is not known here. */
export function eventType(uri: string): (EventType & { readonly name: string }) | undefined {
  for (const { base, events } of FAMILIES) {
    const name = uri.startsWith(base) ? uri.slice(base.length) : '';
    const found = Object.hasOwn(events, name) ? events[name] : undefined;
    if (found) return { ...found, name };
  }
  return undefined;
}
