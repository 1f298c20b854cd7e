import { isRecord } from '../../../pdp/external-json.ts';
import { atPointer } from '../../facts/json-pointer.ts';
import { readInstant } from '../../facts/subject-facts.ts';

/** A payload is not what its vendor documents. The message names the place, and never what stands there. */
export class WrongPayload extends Error {
  override readonly name = 'WrongPayload';
}

/**
 * Typed looks into a vendor's payload, by JSON Pointer (RFC 6901). Missing and null are `undefined`; a value of another type throws
 * {@link WrongPayload}.
 */
export interface Payload {
  flag(pointer: string): boolean | undefined;
  text(pointer: string): string | undefined;
  whole(pointer: string): number | undefined;
  /** Unix ms of an RFC 3339 time. What vendors write for "never" lies before 1970 and is 0. */
  instant(pointer: string): number | undefined;
  list(pointer: string): readonly unknown[] | undefined;
}

const MAX_TEXT = 255;
const MAX_LIST = 1_000;

/** Looks into a payload. Throws {@link WrongPayload} where it is not an object. */
export function openPayload(value: unknown): Payload {
  if (!isRecord(value)) throw new WrongPayload('is not an object');
  const look = <T>(pointer: string, what: string, read: (found: unknown) => T | undefined): T | undefined => {
    const found = atPointer(value, pointer);
    if (found === undefined) return undefined;
    const result = read(found);
    if (result === undefined) throw new WrongPayload(`has no ${what} at '${pointer}'`);
    return result;
  };
  return {
    flag: (pointer) =>
      look(pointer, 'true or false', (found) => (typeof found === 'boolean' ? found : undefined)),
    text: (pointer) => look(pointer, `text of at most ${MAX_TEXT} characters`, readText),
    whole: (pointer) =>
      look(pointer, 'whole number', (found) => (Number.isSafeInteger(found) ? Number(found) + 0 : undefined)),
    instant: (pointer) => look(pointer, 'RFC 3339 time', readTime),
    list: (pointer) =>
      look(pointer, `list of at most ${MAX_LIST}`, (found) =>
        Array.isArray(found) && found.length <= MAX_LIST ? found : undefined,
      ),
  };
}

function readText(found: unknown): string | undefined {
  return typeof found === 'string' && found.length <= MAX_TEXT && found.isWellFormed() ? found : undefined;
}

function readTime(found: unknown): number | undefined {
  const instant = typeof found === 'string' ? readInstant(found) : undefined;
  return instant === undefined ? undefined : Math.max(0, instant);
}

/** What a page of results says of those that are not on it: how many there are, or where they are. */
const MORE = ['/totalCount', '/meta/pagination/total', '/@odata.count', '/@odata.nextLink'];

/**
 * The one thing that a list of results holds at a pointer: the document itself where it is no list of results; `undefined` where the list is
 * empty. Throws {@link WrongPayload} where there are several, on this page or others: then it is not known which is meant.
 */
export function theOnly(document: unknown, pointer: string): unknown {
  const results = atPointer(document, pointer);
  if (results === undefined) return document;
  if (!Array.isArray(results)) throw new WrongPayload(`has no list at '${pointer}'`);
  if (results.length > 1) throw new WrongPayload(`holds more than one device at '${pointer}'`);
  for (const more of MORE) {
    const said = atPointer(document, more);
    if (typeof said === 'string' || (typeof said === 'number' && said > 1))
      throw new WrongPayload(`is one page of more than one device, by '${more}'`);
  }
  return results[0] as unknown;
}
