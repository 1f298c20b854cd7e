import type { AttributeRecord, AttributeValue, LeftOutAttributes, OnFailure } from '../attribute.ts';
import { isRecord } from '../external-json.ts';

/** What one source, or a signed assertion, says of a subject. */
export interface Layer {
  readonly attributes: AttributeRecord;
  /** Unix ms. */
  readonly observedAt: number;
  readonly assumed?: true;
  readonly event?: true;
  readonly leftOut?: LeftOutAttributes;
  /** The information point that says so; absent: an assertion. */
  readonly source?: string;
  /** See `AttributeFact`; those of an assertion are absent, so that what it says must be known. */
  readonly failure?: string;
  readonly onFailure?: OnFailure;
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
}

/**
 * Which layer has the word on each attribute, `layers` being in the order in which they go where they are equally new, and `now` what a
 * clock that runs ahead is set back to.
 *
 * What was observed last goes first. What a security event said goes before everything whose time is only assumed, since that may be
 * older than it looks, and gives way to a later observation.
 */
export function mergeLayers(layers: readonly Layer[], now: number): ReadonlyMap<string, Layer> {
  const time = ({ observedAt }: Layer): number => Math.min(observedAt, now);
  const isNewer = (layer: Layer, other: Layer | undefined) => !other || time(layer) > time(other);
  const events = new Map<string, Layer>();
  const winners = new Map<string, Layer>();
  for (const [name, layer] of wordsOf(layers.filter(({ event }) => event))) {
    if (isNewer(layer, events.get(name))) events.set(name, layer);
  }
  for (const [name, layer] of wordsOf(layers.filter(({ event }) => !event))) {
    const event = events.get(name);
    if (event && (layer.assumed || !isNewer(layer, event))) continue;
    if (isNewer(layer, winners.get(name))) winners.set(name, layer);
  }
  for (const [name, event] of events) if (!winners.has(name)) winners.set(name, event);
  return winners;
}

/** What each layer has the word on. `byMember`: of the attributes with these names that are records it is member by member. */
export function wordsByLayer(
  layers: readonly Layer[],
  now: number,
  byMember: ReadonlySet<string>,
): ReadonlyMap<Layer, AttributeRecord> {
  const words = new Map<Layer, Record<string, AttributeValue>>();
  const give = (layer: Layer, name: string, value: AttributeValue | undefined): void => {
    if (value !== undefined) wordOf(layer, words)[name] = value;
  };
  for (const [name, layer] of mergeLayers(layers, now)) {
    if (!byMember.has(name)) give(layer, name, layer.attributes[name]);
    else for (const [one, part] of partsOf(name, layers, now)) give(one, name, part);
  }
  return words;
}

function wordOf(
  layer: Layer,
  words: Map<Layer, Record<string, AttributeValue>>,
): Record<string, AttributeValue> {
  let word = words.get(layer);
  if (!word) words.set(layer, (word = {}));
  return word;
}

/** Which members of a record each layer has the word on. */
function partsOf(
  name: string,
  layers: readonly Layer[],
  now: number,
): ReadonlyMap<Layer, Record<string, AttributeValue>> {
  const inner = new Map<Layer, Layer>();
  for (const layer of layers) {
    const value = isLeftOut(name, layer) ? undefined : layer.attributes[name];
    if (isRecord(value)) inner.set({ ...layer, attributes: value }, layer);
  }
  const parts = new Map<Layer, Record<string, AttributeValue>>();
  for (const [member, part] of mergeLayers([...inner.keys()], now)) {
    const [layer, value] = [inner.get(part), part.attributes[member]];
    if (layer && value !== undefined) wordOf(layer, parts)[member] = value;
  }
  return parts;
}

/** Puts together what layers have the word on. */
export function united(words: readonly AttributeRecord[], byMember: ReadonlySet<string>): AttributeRecord {
  const whole: Record<string, AttributeValue> = Object.assign({}, ...words);
  for (const name of byMember) {
    const parts = words.flatMap((word) => (isRecord(word[name]) ? [word[name]] : []));
    if (parts.length > 1) whole[name] = Object.assign({}, ...parts) as AttributeRecord;
  }
  return whole;
}

function* wordsOf(layers: readonly Layer[]): Iterable<readonly [string, Layer]> {
  for (const layer of layers) {
    for (const name of Object.keys(layer.attributes)) if (!isLeftOut(name, layer)) yield [name, layer];
  }
}

/** Whether what a layer says of an attribute is not used. */
export function isLeftOut(name: string, { leftOut }: Pick<Layer, 'leftOut'>): boolean {
  return leftOut !== undefined && Object.hasOwn(leftOut, name);
}
