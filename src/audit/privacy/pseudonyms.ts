import { createHmac } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { typeName } from '../../pdp/entities.ts';

/** Names of people, and of what leads to them, as the log writes them instead. */
export interface Pseudonyms {
  /** Number of the key: pseudonyms of different epochs have nothing in common. */
  readonly epoch: number;
  /** `~` and 16 bytes of HMAC-SHA256 over kind and id, base64url. */
  of(kind: string, id: string): string;
  /** Whether names of a kind, or of an entity type, do not go into lines. */
  hides(kind: string): boolean;
}

/** What {@link createPseudonyms} needs. */
export interface PseudonymOptions {
  readonly key: Buffer;
  readonly epoch: number;
  /** `user`, `device`, or a Cedar entity type. */
  readonly kinds: readonly string[];
}

const MAX_KNOWN = 10_000;

/** By what else a user can be known. */
const USER_KINDS = ['user', 'email', 'session', 'token'];

/** Makes pseudonyms with a key. */
export function createPseudonyms({ key, epoch, kinds }: PseudonymOptions): Pseudonyms {
  const hidden = new Set([...kinds, ...(kinds.includes('user') ? USER_KINDS : [])]);
  const known = new LRUCache<string, string>({ max: MAX_KNOWN });
  return {
    epoch,
    hides: (kind) => hidden.has(kind),
    of(kind, id) {
      // No kind holds a NUL, so that no two subjects share a text.
      const text = `${kind}\0${id}`;
      let pseudonym = known.get(text);
      if (pseudonym === undefined) {
        pseudonym = pseudonymOf(key, text);
        known.set(text, pseudonym);
      }
      return pseudonym;
    },
  };
}

function pseudonymOf(key: Buffer, text: string): string {
  return `~${createHmac('sha256', key).update(text).digest().subarray(0, 16).toString('base64url')}`;
}

const KINDS: ReadonlyMap<string, string> = new Map([
  [typeName('User'), 'user'],
  [typeName('Device'), 'device'],
]);

/** The kind under which an entity of a type has its pseudonym: that of the same user or device elsewhere, else the type. */
export function kindOfType(type: string): string {
  return KINDS.get(type) ?? type;
}
