import type { SharedEntry } from '../../pdp/shared-state.ts';
import { readEntry } from './entry.ts';

/** The keys of one state; the prefix holds a hash tag, so that a cluster keeps them together. */
export interface StateKeys {
  /** Hash: key of an entry → `[rank,at,expiry,value]`; under {@link GENERATION}, which is no key of an entry, whose hash this is. */
  readonly entries: string;
  /** Stream of puts, each key and text of each entry that won. */
  readonly log: string;
  /** Sorted set of the keys of entries that expire, by when. */
  readonly expiries: string;
}

export function stateKeys(prefix: string): StateKeys {
  return { entries: `${prefix}entries`, log: `${prefix}log`, expiries: `${prefix}expiries` };
}

/** Field of the hash that goes when the hash goes: a Redis that has forgotten shows by it. */
export const GENERATION = 'generation';

/** An entry as Redis holds it. */
export function entryText({ rank, at, expiresAt, value }: SharedEntry): string {
  return `[${rank},${at},${expiresAt ?? 'null'},${JSON.stringify(value)}]`;
}

/** Longer than any entry: what is longer is not even parsed. */
const MAX_TEXT = 16 * 1_024;

/** An entry out of Redis, or what is wrong with it. */
export function readEntryText(key: string, text: string): SharedEntry | { readonly problem: string } {
  if (text.length > MAX_TEXT) return { problem: `is longer than ${MAX_TEXT} bytes` };
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return { problem: 'is not JSON' };
  }
  if (!Array.isArray(given) || given.length !== 4) return { problem: 'is not a list of four' };
  const [rank, at, expiresAt, value] = given as unknown[];
  return readEntry({ key, rank, at, value, ...(expiresAt !== null && { expiresAt }) });
}

/**
 * Puts entries, all or none, by the rule of `outranks`; strings are compared byte by byte, since `<` of Lua goes by the locale of the server.
 * KEYS: entries, log, expiries. ARGV: bound on entries, bound on the log, a generation for a new hash, then key and text of each entry.
 * Answers `{'ok', generation}`, or `{'full', generation}` where there is no room for what is new. Time is the server's. What has expired goes
 * first: it makes room in a server that is out of memory, and deleting is allowed there, after which so is the rest of the script.
 */
export const PUT = `
local function parse(text)
  if not text then return nil end
  local rank, at, expiry, value = string.match(text, '^%[(-?%d+),(-?%d+),([%dnul]+),(.*)%]$')
  if not rank then return nil end
  return { rank = tonumber(rank), at = tonumber(at), expiry = tonumber(expiry) or math.huge, value = value }
end
local function compare(one, other)
  local shared = math.min(#one, #other)
  for i = 1, shared do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a - b end
  end
  return #one - #other
end
local function outranks(one, other)
  if one.rank ~= other.rank then return one.rank > other.rank end
  if one.at ~= other.at then return one.at > other.at end
  local order = compare(one.value, other.value)
  if order ~= 0 then return order > 0 end
  return one.expiry > other.expiry
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function forget(limit)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, limit)) do
    redis.call('HDEL', KEYS[1], key)
    redis.call('ZREM', KEYS[3], key)
  end
end
forget(200)
redis.call('HSETNX', KEYS[1], '${GENERATION}', ARGV[3])
local generation = redis.call('HGET', KEYS[1], '${GENERATION}')
local winners, texts, order, added = {}, {}, {}, 0
for i = 4, #ARGV, 2 do
  local key, entry = ARGV[i], parse(ARGV[i + 1])
  if not entry then return redis.error_reply('ERR an entry of the shared state has another form') end
  local stored = redis.call('HGET', KEYS[1], key)
  local held = winners[key] or parse(stored)
  if held and held.expiry <= now then held = nil end
  if entry.expiry > now and (not held or outranks(entry, held)) then
    if not winners[key] then
      order[#order + 1] = key
      if not stored then added = added + 1 end
    end
    winners[key], texts[key] = entry, ARGV[i + 1]
  end
end
local function isFull() return added > 0 and redis.call('HLEN', KEYS[1]) - 1 + added > tonumber(ARGV[1]) end
if isFull() then forget(5000) end
if isFull() then return { 'full', generation } end
if #order == 0 then return { 'ok', generation } end
local fields = {}
for _, key in ipairs(order) do
  fields[#fields + 1] = key
  fields[#fields + 1] = texts[key]
  local expiry = winners[key].expiry
  if expiry < math.huge then redis.call('ZADD', KEYS[3], string.format('%.0f', expiry), key)
  else redis.call('ZREM', KEYS[3], key) end
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
return { 'ok', generation }`;

/**
 * Says where the state stands. KEYS: entries, log. ARGV: a generation for a new hash, the id of the last put that we saw. Answers
 * `{generation, id of the newest put, id of the oldest, 1 if the one that we saw is still there}`; ids are '0-0' where there is none. It fails on
 * a replica, which may have lost its master and look quiet; but not where a master takes no more writes (out of memory, disk full).
 */
export const LOOK = `
local probe = redis.pcall('HDEL', KEYS[1], '')
if type(probe) == 'table' and probe.err and string.find(probe.err, 'READONLY', 1, true) then
  return redis.error_reply('READONLY this is a replica')
end
if redis.call('HEXISTS', KEYS[1], '${GENERATION}') == 0 then
  redis.call('HSETNX', KEYS[1], '${GENERATION}', ARGV[1])
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
local seen = ARGV[2] == '0-0' and not newest[1] or #redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2]) == 1
return {
  redis.call('HGET', KEYS[1], '${GENERATION}'),
  newest[1] and newest[1][1] or '0-0',
  oldest[1] and oldest[1][1] or '0-0',
  seen and 1 or 0,
}`;
