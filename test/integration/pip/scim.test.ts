import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FactSource } from '../../../src/pip/facts/fact-source.ts';
import { type ScimSourceOptions, openScimSource } from '../../../src/pip/facts/scim/scim-source.ts';
import { type MemoryLog, memoryLog } from '../../unit/pip/fixture.ts';
import { type Asked, type Behaviour, type FactsServer, startFactsServer } from './facts-server.ts';

const NEVER = new AbortController().signal;
const LIST = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';
const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
const ABSENT = { status: 'absent', attributes: {}, groups: [] };

const ALICE = {
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:User', ENTERPRISE],
  id: '2819c223',
  externalId: '701984',
  userName: 'alice@example.com',
  active: true,
  title: null,
  [ENTERPRISE]: { department: 'finance', manager: { value: '26118915', displayName: 'Bob' } },
  groups: [
    { value: 'g1', display: 'Staff', $ref: 'https://x/Groups/g1' },
    { value: 'g2', display: 'Finance' },
  ],
};

let log: MemoryLog;
const open: AsyncDisposable[] = [];

beforeEach(() => {
  log = memoryLog();
});

afterEach(async () => {
  for (const part of open.splice(0).reverse()) await part[Symbol.asyncDispose]();
});

/** A directory that answers queries as RFC 7644 §3.4.2 has it, as far as it is asked here. */
function directory(users: readonly object[], groups: readonly object[] = [], pageSize = 100): Behaviour {
  return (asked, response) => {
    const url = new URL(asked.url, 'http://directory');
    const all = url.pathname.startsWith('/scim/v2/Groups') ? groups : users;
    const id = /^\/scim\/v2\/Users\/(.+)$/.exec(url.pathname)?.[1];
    const start = Number(url.searchParams.get('startIndex') ?? '1') - 1;
    const body =
      id === undefined
        ? {
            schemas: [LIST],
            totalResults: all.length,
            startIndex: start + 1,
            Resources: all.slice(start, start + (all === groups ? pageSize : 100)),
          }
        : users.find((user) => (user as { id: string }).id === decodeURIComponent(id));
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/scim+json' });
    response.end(JSON.stringify(body ?? { detail: 'secret' }));
  };
}

async function serve(behaviour: Behaviour): Promise<FactsServer> {
  const server = await startFactsServer(behaviour);
  open.push(server);
  return server;
}

async function source(server: FactsServer, options: Partial<ScimSourceOptions> = {}): Promise<FactSource> {
  const opened = await openScimSource({
    name: 'directory',
    gives: ['active', 'department', 'manager', 'title', 'groups'],
    url: `${server.origin}/scim/v2/`,
    issuer: 'corp',
    userBy: 'userName',
    attributes: new Map([
      ['department', `/${ENTERPRISE}/department`],
      ['manager', `/${ENTERPRISE}/manager/value`],
    ]),
    groupId: 'value',
    groupsFrom: 'user',
    credentials: {},
    log,
    ...options,
  });
  open.push(opened);
  return opened;
}

function query(asked: Asked | undefined): Record<string, string> {
  return Object.fromEntries(new URL(asked?.url ?? '', 'http://x').searchParams);
}

describe('a user of a SCIM directory', () => {
  test('is not somebody whose name has a letter that only looks the same, or becomes the same in lower case', async () => {
    const server = await serve(directory([{ ...ALICE, userName: 'kelly' }]));
    const users = await source(server);
    expect(await users.fetch('corp/KELLY', NEVER)).toMatchObject({ status: 'found' });
    // U+212A, the Kelvin sign: `toLowerCase` makes a k of it, as the collation of a directory may.
    await expect(users.fetch('corp/\u212Aelly', NEVER)).rejects.toThrow('is not the one that was asked for');
  });

  test('is found by a filter, with attributes of the enterprise extension and groups', async () => {
    const server = await serve(directory([ALICE]));
    expect(await (await source(server)).fetch('corp/alice@example.com', NEVER)).toEqual({
      status: 'found',
      attributes: { active: true, department: 'finance', manager: '26118915' },
      groups: ['g1', 'g2'],
    });
    expect(server.asked).toHaveLength(1);
    expect(server.asked[0]?.url).toMatch(/^\/scim\/v2\/Users\?/);
    expect(server.asked[0]?.headers.accept).toBe('application/scim+json, application/json');
    expect(query(server.asked[0])).toEqual({ filter: 'userName eq "alice@example.com"', count: '2' });
  });

  test('is found by its id', async () => {
    const server = await serve(directory([ALICE]));
    const users = await source(server, { userBy: 'id' });
    expect(await users.fetch('corp/2819c223', NEVER)).toMatchObject({
      status: 'found',
      groups: ['g1', 'g2'],
    });
    expect(server.asked[0]?.url).toBe('/scim/v2/Users/2819c223');
    expect(await users.fetch('corp/nobody/at?all', NEVER)).toEqual(ABSENT);
    expect(server.asked[1]?.url).toBe('/scim/v2/Users/nobody%2Fat%3Fall');
  });

  test('cannot end the filter that it is found by', async () => {
    const server = await serve(directory([]));
    const sub = 'x" or userName pr or "&count=99';
    expect(await (await source(server)).fetch(`corp/${sub}`, NEVER)).toEqual(ABSENT);
    expect(query(server.asked[0])).toEqual({
      filter: 'userName eq "x\\" or userName pr or \\"&count=99"',
      count: '2',
    });
  });

  test('that is not active is given as such, and one of whom it is not said is not given as inactive', async () => {
    const server = await serve(directory([{ ...ALICE, active: false }]));
    const users = await source(server, { gives: ['active'] });
    expect(await users.fetch('corp/alice@example.com', NEVER)).toMatchObject({
      attributes: { active: false },
    });
    server.behave(directory([{ ...ALICE, active: undefined }]));
    expect(await users.fetch('corp/alice@example.com', NEVER)).toMatchObject({ attributes: {} });
  });

  test('is in groups by their display names where that is what names them', async () => {
    const server = await serve(directory([ALICE]));
    const users = await source(server, { groupId: 'display' });
    expect(await users.fetch('corp/alice@example.com', NEVER)).toMatchObject({
      groups: ['Staff', 'Finance'],
    });
  });

  test('is absent where the directory does not know it, or is not asked because it is not of its issuer', async () => {
    const server = await serve(directory([]));
    const users = await source(server);
    expect(await users.fetch('corp/alice@example.com', NEVER)).toEqual(ABSENT);
    expect(await users.fetch('partner/alice@example.com', NEVER)).toEqual(ABSENT);
    expect(server.asked).toHaveLength(1);
  });
});

describe('groups that are asked for by their members', () => {
  const groups = Array.from({ length: 7 }, (_, index) => ({
    id: `g${index}`,
    displayName: `Group ${index}`,
  }));

  test('are all found, page by page', async () => {
    const server = await serve(directory([ALICE], groups, 3));
    const users = await source(server, { groupsFrom: 'members' });
    expect(await users.fetch('corp/alice@example.com', NEVER)).toMatchObject({
      groups: ['g0', 'g1', 'g2', 'g3', 'g4', 'g5', 'g6'],
    });
    expect(server.asked.slice(1).map((asked) => query(asked))).toEqual(
      ['1', '4', '7'].map((startIndex) => ({
        filter: 'members.value eq "2819c223"',
        attributes: 'id,displayName',
        count: '100',
        startIndex,
      })),
    );
  });

  test('are not asked for where they are not wanted', async () => {
    const server = await serve(directory([ALICE], groups));
    const users = await source(server, { groupsFrom: 'members', gives: ['active'] });
    expect(await users.fetch('corp/alice@example.com', NEVER)).toMatchObject({ groups: [] });
    expect(server.asked).toHaveLength(1);
  });

  test.each<[string, Partial<ScimSourceOptions>, readonly object[], number, RegExp]>([
    ['are too many', { maxGroups: 6 }, groups, 3, /^answered with more than 6 groups of one user$/],
    ['come with none on a page', {}, groups, 0, /^answered with fewer groups than it said$/],
    [
      'come one by one for ever',
      { maxGroups: 1_000 },
      Array.from({ length: 60 }, (_, id) => ({ id: `${id}` })),
      1,
      /^needs more than 50 questions/,
    ],
    ['have no name', { groupId: 'display' }, [{ id: 'g1' }], 3, /no text at '\/Resources\/0\/displayName'$/],
  ])('are refused where they %s', async (_what, options, groups, pageSize, problem) => {
    const server = await serve(directory([ALICE], groups, pageSize));
    const users = await source(server, { groupsFrom: 'members', ...options });
    await expect(users.fetch('corp/alice@example.com', NEVER)).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: expect.stringMatching(problem) as string,
    });
  });
});

describe('a directory that answers wrongly', () => {
  const list =
    (parts: object): Behaviour =>
    (_asked, response) => {
      response.writeHead(200, { 'content-type': 'application/scim+json' });
      response.end(JSON.stringify({ schemas: [LIST], totalResults: 1, Resources: [ALICE], ...parts }));
    };

  test.each<[string, Behaviour, string]>([
    [
      'finding several users',
      list({ totalResults: 2, Resources: [ALICE, ALICE] }),
      'knows more than one such user',
    ],
    [
      'passing over the filter',
      list({ Resources: [{ ...ALICE, userName: 'secret' }] }),
      "answered with a user whose 'userName' is not the one that was asked for",
    ],
    ['saying less than it found', list({ Resources: [] }), 'answered with less than it said'],
    [
      'finding more than it says',
      list({ totalResults: 0 }),
      "answered with a list that holds more than its '/totalResults' says",
    ],
    [
      'saying no number',
      list({ totalResults: 'secret' }),
      "answered with a list that has no whole number at '/totalResults'",
    ],
    [
      'being no ListResponse',
      list({ schemas: ['secret'] }),
      "answered with a list that is not a ListResponse by its '/schemas'",
    ],
    [
      'holding no resources',
      list({ Resources: 'secret' }),
      "answered with a list that has no list of resources at '/Resources'",
    ],
    [
      'naming no group',
      list({ Resources: [{ ...ALICE, groups: [{ display: 'secret' }] }] }),
      "answered with a user that has no text at '/groups/0/value'",
    ],
    [
      'having groups that are none',
      list({ Resources: [{ ...ALICE, groups: 'secret' }] }),
      "answered with a user that has no list at '/groups'",
    ],
    [
      'holding a hostile value',
      list({ Resources: [{ ...ALICE, active: { __extn: 'secret' } }] }),
      "answered with a user that holds the reserved key '__extn' at '/active'",
    ],
    ['failing', (_asked, response) => response.writeHead(503).end('secret'), 'answered with status 503'],
    [
      'having no such endpoint',
      (_asked, response) => response.writeHead(404).end('secret'),
      'answered with a list that is not there (404)',
    ],
  ])('by %s fails, and nothing of its answer is told', async (_what, behaviour, message) => {
    const server = await serve(behaviour);
    const error: unknown = await (
      await source(server)
    )
      .fetch('corp/alice@example.com', NEVER)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'PdpError', reason: 'attribute_unavailable', message });
    expect(`${String(error)}${log.text()}`).not.toMatch(/secret|alice/);
  });

  test('is not asked about a user whose id cannot stand in a question', async () => {
    const server = await serve(directory([ALICE]));
    const users = await source(server, { userBy: 'id' });
    for (const sub of ['..', '.', '', 'a\ud800'])
      await expect(users.fetch(`corp/${sub}`, NEVER)).rejects.toThrow(
        'is not asked: the id cannot stand in a question',
      );
    expect(server.asked).toEqual([]);
  });
});
