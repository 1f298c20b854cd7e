import { hash } from 'node:crypto';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import { isRecord } from '../../pdp/external-json.ts';

/** Which page of a search is asked for (AuthZEN §8.2). */
export interface Page {
  readonly limit: number;
  /** The last candidate that an earlier page has looked at; absent: begin at the first. */
  readonly after?: string;
  /** Pages in a row that got no further. */
  readonly stalls: number;
}

/** What makes two searches the same, so that a token of one is none of the other. */
export type SearchIdentity = readonly unknown[];

/** Reads `page`. A token of another search, or of other policies, is refused as `request_malformed`. */
export function readPage(value: unknown, identity: SearchIdentity, maxLimit: number): Page | Refusal {
  if (value === undefined || value === null) return { limit: maxLimit, stalls: 0 };
  if (!isRecord(value)) return refuse('request_malformed', 'page must be an object');
  const { limit = maxLimit, token = '' } = value;
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1)
    return refuse('request_malformed', 'page.limit must be a whole number above 0');
  if (typeof token !== 'string') return refuse('request_malformed', 'page.token must be a string');
  const capped = Math.min(limit, maxLimit);
  if (token === '') return { limit: capped, stalls: 0 };
  const place = placeOf(token, identity);
  return place === undefined
    ? refuse(
        'request_malformed',
        'page.token is not one of this search, or the policies have changed: begin anew',
      )
    : { limit: capped, ...place };
}

/** Where a page begins. */
type Place = Required<Pick<Page, 'after' | 'stalls'>>;

/** The token of the page that begins after a candidate. */
export function pageToken({ after, stalls }: Place, identity: SearchIdentity): string {
  return Buffer.from(JSON.stringify([fingerprint(identity), after, stalls])).toString('base64url');
}

function placeOf(token: string, identity: SearchIdentity): Place | undefined {
  try {
    const [of, after, stalls] = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as unknown[];
    if (of !== fingerprint(identity) || typeof after !== 'string' || typeof stalls !== 'number')
      return undefined;
    return { after, stalls };
  } catch {
    return undefined;
  }
}

function fingerprint(identity: SearchIdentity): string {
  return hash('sha256', JSON.stringify(identity, inOrder), 'base64url').slice(0, 22);
}

/** The order of members means nothing (AuthZEN §10.1). */
function inOrder(_key: string, value: unknown): unknown {
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}
