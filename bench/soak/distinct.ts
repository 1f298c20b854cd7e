import type { RequestFrames } from '../load/h2-connection.ts';
import type { RequestMaker } from '../load/requests.ts';
import { PLACEHOLDER, numbered } from './numbered.ts';

/** Every so many requests a user asks; the others are calls between workloads. */
export const USER_EVERY = 10;
/** Every so many requests there is a token never seen before. */
export const TOKEN_EVERY = 100;

/** Requests that were never made before, each of them. */
export function distinct(maker: RequestMaker): { next: () => RequestFrames; made: () => number } {
  const call = numbered(maker.meshCall(`/internal/entries/${PLACEHOLDER}`));
  const fresh = () =>
    numbered(maker.report('alice', { token: maker.token('alice'), path: `/api/reports/${PLACEHOLDER}` }));
  let made = 0;
  let report = fresh();
  const next = () => {
    if (made % TOKEN_EVERY === 0) report = fresh();
    return (made % USER_EVERY === 0 ? report : call)(made++);
  };
  return { next, made: () => made };
}
