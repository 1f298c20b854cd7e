import { isRecord } from '../../../pdp/external-json.ts';
import { ABSENT } from '../fact-reading.ts';
import type { FactSource, FetchedFacts } from '../fact-source.ts';
import { answerReader } from '../http/answer-map.ts';
import type { HttpConnection } from '../http/http-client.ts';
import { subjectParts } from '../http/subject-parts.ts';
import { NotAskedError, WrongAnswerError } from '../source-guard.ts';
import { type ScimClient, openScimClient } from './scim-client.ts';
import { equalsFilter } from './scim-filter.ts';
import { type GroupId, type UserKey, groupsOfUser, idsOfGroups, isAskedFor } from './scim-user.ts';

/** Settings of {@link openScimSource}. */
export interface ScimSourceOptions extends Omit<HttpConnection, 'origin'> {
  readonly gives: readonly string[];
  /** Base of the service provider, `https://…/scim/v2`. */
  readonly url: string;
  /** The one issuer whose users the directory knows; those of others are absent. */
  readonly issuer: string;
  /** By what users are found: `id`, or an attribute path such as `userName` and `externalId`. */
  readonly userBy: UserKey;
  /** Where attributes are in a User resource, as JSON Pointers (RFC 6901); else the member of their name. */
  readonly attributes?: ReadonlyMap<string, string>;
  readonly groupId: GroupId;
  /** Whether groups come from the User resource, or are asked for by their members. */
  readonly groupsFrom: 'user' | 'members';
  /** Most groups of one user; default 1000. */
  readonly maxGroups?: number;
}

type User = Readonly<Record<string, unknown>>;

/** Characters of a `sub` in a URL: what is longer is no name that people have. */
const MAX_SUB = 4_000;
const PAGE_SIZE = 100;
const MAX_GROUPS = 1_000;
/** A server may give less than it is asked for; one that gives next to nothing must not be asked for ever. */
const MAX_PAGES = 50;

/**
 * Opens the users of a SCIM 2.0 directory (RFC 7643, RFC 7644) as facts. A user that is not there is absent; where several are found, or one
 * who was not asked for, the answer is wrong. `fetch` rejects with `PdpError` `attribute_unavailable` for a directory that cannot be asked or
 * answers wrongly. Throws `InputError` for credentials that are not right.
 */
export async function openScimSource(options: ScimSourceOptions): Promise<FactSource> {
  const { name, gives } = options;
  const client = await openScimClient(options.url, options);
  const attributes = gives.filter((attribute) => attribute !== 'groups');
  const read = answerReader({ attributes: options.attributes ?? new Map() }, attributes);
  const fetch = async (subjectId: string, signal: AbortSignal): Promise<FetchedFacts> => {
    const known = unasked(options, subjectId);
    if (known) return known;
    const { name: sub = '' } = subjectParts(subjectId);
    const user = await findUser(options, client, sub, signal);
    if (user === undefined) return ABSENT;
    const facts = read(user);
    if ('problem' in facts) throw new WrongAnswerError(`answered with a user that ${facts.problem}`);
    const groups = gives.includes('groups') ? await groupsOf(options, client, user, signal) : [];
    return { status: 'found', attributes: facts.attributes, groups };
  };
  return {
    name,
    subject: 'user',
    gives,
    unasked: (subjectId) => unasked(options, subjectId),
    fetch,
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function unasked({ issuer }: ScimSourceOptions, subjectId: string): FetchedFacts | undefined {
  const { issuer: ofSubject, name: sub } = subjectParts(subjectId);
  if (ofSubject !== issuer || sub === undefined) return ABSENT;
  if (!sub.isWellFormed() || /^\.{0,2}$/.test(sub) || encodeURIComponent(sub).length > MAX_SUB)
    throw new NotAskedError('is not asked: the id cannot stand in a question');
  return undefined;
}

async function findUser(
  options: ScimSourceOptions,
  client: ScimClient,
  sub: string,
  signal: AbortSignal,
): Promise<User | undefined> {
  const user =
    options.userBy === 'id'
      ? await client.resource('Users', sub, signal)
      : await theOneUser(options, client, sub, signal);
  if (user === undefined) return undefined;
  if (!isRecord(user) || !isAskedFor(user, options.userBy, sub))
    throw new WrongAnswerError(
      `answered with a user whose '${options.userBy}' is not the one that was asked for`,
    );
  return user;
}

async function theOneUser(
  options: ScimSourceOptions,
  client: ScimClient,
  sub: string,
  signal: AbortSignal,
): Promise<User | undefined> {
  const filter = equalsFilter(options.userBy, sub);
  const { totalResults, resources } = await client.page('Users', { filter, count: 2 }, signal);
  if (totalResults > 1) throw new WrongAnswerError('knows more than one such user');
  if (totalResults !== resources.length) throw new WrongAnswerError('answered with less than it said');
  return resources[0];
}

async function groupsOf(
  options: ScimSourceOptions,
  client: ScimClient,
  user: User,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const groups =
    options.groupsFrom === 'user'
      ? groupsOfUser(user, options.groupId)
      : await groupsWithMember(options, client, user, signal);
  if ('problem' in groups) throw new WrongAnswerError(`answered with a user that ${groups.problem}`);
  if (groups.length > maxGroupsOf(options)) throw tooManyGroups(options);
  return groups;
}

async function groupsWithMember(
  options: ScimSourceOptions,
  client: ScimClient,
  user: User,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { id } = user;
  if (typeof id !== 'string' || id === '')
    throw new WrongAnswerError("answered with a user that has no text at '/id'");
  const query = { filter: equalsFilter('members.value', id), attributes: 'id,displayName', count: PAGE_SIZE };
  const found = new Set<string>();
  let seen = 0;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page = await client.page('Groups', { ...query, startIndex: seen + 1 }, signal);
    if (page.totalResults > maxGroupsOf(options)) throw tooManyGroups(options);
    const ids = idsOfGroups(page.resources, options.groupId);
    if ('problem' in ids) throw new WrongAnswerError(`answered with groups of which one ${ids.problem}`);
    for (const group of ids) found.add(group);
    seen += page.resources.length;
    if (seen >= page.totalResults) return [...found];
    if (page.resources.length === 0) throw new WrongAnswerError('answered with fewer groups than it said');
  }
  throw new WrongAnswerError(`needs more than ${MAX_PAGES} questions for the groups of one user`);
}

function maxGroupsOf({ maxGroups = MAX_GROUPS }: ScimSourceOptions): number {
  return maxGroups;
}

function tooManyGroups(options: ScimSourceOptions): WrongAnswerError {
  return new WrongAnswerError(`answered with more than ${maxGroupsOf(options)} groups of one user`);
}
