/** Decisions that have something in common. */
export interface Group {
  count: number;
  /** Times of the first and the last of them. */
  first: string;
  last: string;
  /** Decision ids of some of them. */
  readonly examples: string[];
  /** Who: at most {@link MAX_PRINCIPALS}. */
  readonly principals: Set<string>;
  /** How often by which way, of the ways that were seen first. */
  readonly ways: Map<string, number>;
}

/** One decision, as groups count it. */
export interface Member {
  readonly id: string;
  readonly timestamp: string;
  readonly principal: string;
  /** What else is worth knowing of it within the group. */
  readonly way: string;
}

/** Groups by name: of those that are seen late there may be too many. */
export interface Groups {
  readonly byName: Map<string, Group>;
  /** Decisions whose group is not held. */
  others: number;
}

/** Distinct principals that a group holds; then there are more than so many. */
export const MAX_PRINCIPALS = 1000;

const MAX_GROUPS = 2000;
const MAX_EXAMPLES = 3;
const MAX_WAYS = 8;
const MAX_NAME = 300;

/** No groups. */
export function emptyGroups(): Groups {
  return { byName: new Map(), others: 0 };
}

/** Counts a decision into its group. */
export function addMember(groups: Groups, name: string, member: Member): void {
  const key = cut(name);
  const group = groups.byName.get(key);
  if (group) return join(group, member);
  if (groups.byName.size >= MAX_GROUPS) {
    groups.others += 1;
    return;
  }
  const { timestamp } = member;
  const made: Group = {
    count: 0,
    first: timestamp,
    last: timestamp,
    examples: [],
    principals: new Set(),
    ways: new Map(),
  };
  groups.byName.set(key, made);
  join(made, member);
}

function join(group: Group, { id, timestamp, principal, way }: Member): void {
  group.count += 1;
  if (timestamp < group.first) group.first = timestamp;
  if (timestamp > group.last) group.last = timestamp;
  if (group.examples.length < MAX_EXAMPLES) group.examples.push(cut(id));
  // One more than are held, so that it shows that there are more.
  if (group.principals.size <= MAX_PRINCIPALS) group.principals.add(cut(principal));
  const key = cut(way);
  if (group.ways.has(key) || group.ways.size < MAX_WAYS) group.ways.set(key, (group.ways.get(key) ?? 0) + 1);
}

/** Groups by size, the largest first. */
export function largest(
  { byName }: Groups,
  max = Number.POSITIVE_INFINITY,
): readonly (readonly [string, Group])[] {
  return [...byName]
    .sort(([name, { count }], [other, { count: others }]) => others - count || (name < other ? -1 : 1))
    .slice(0, max);
}

/** How many distinct principals: a number, or that there are more than are held. */
export function principalsText({ principals }: Pick<Group, 'principals'>, max = MAX_PRINCIPALS): string {
  return principals.size > max ? `more than ${max}` : String(principals.size);
}

/** Names come from requests. */
function cut(text: string): string {
  return text.length > MAX_NAME ? `${text.slice(0, MAX_NAME - 1)}…` : text;
}
