import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../src/pdp/attribute.ts';
import type { AttributeSource } from '../../../src/pdp/ports.ts';
import { type ThreatListSettings, openThreats } from '../../../src/pip/threats/open-threats.ts';
import { eventually } from '../../support/eventually.ts';
import { type ManualClock, type MemoryLog, manualClock, memoryLog } from '../../unit/pip/fixture.ts';

const NEVER = new AbortController();
const HOUR = 3_600_000;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let url: string;
let handle: Handler;
let asked: IncomingMessage[];
let clock: ManualClock;
let log: MemoryLog;
let folder: string;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  asked = [];
  clock = manualClock();
  log = memoryLog();
  folder = await mkdtemp(join(tmpdir(), 'threats-'));
  handle = serving('192.0.2.1');
  server = createServer((request, response) => {
    asked.push(request);
    handle(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tor.txt?key=s3cret`;
});

afterEach(async () => {
  for (const source of open.splice(0)) await source[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

function serving(body: string, headers: Readonly<Record<string, string>> = {}): Handler {
  return (_request, response) => void response.writeHead(200, headers).end(body);
}

/** Serves as a server does that knows the version of what it has. */
function versioned(body: string, etag: string): Handler {
  return ({ headers }, response) => {
    if (headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
  };
}

async function threats(
  settings: Partial<ThreatListSettings> = {},
  tokenFile?: string,
): Promise<AttributeSource> {
  const source = await openThreats({
    name: 'intel',
    subject: 'ip',
    onFailure: 'deny',
    freshMs: 30_000,
    clock,
    log,
    lists: [
      {
        name: 'tor',
        from: { url, timeoutMs: 2_000, ...(tokenFile !== undefined && { tokenFile }) },
        refreshMs: 20,
        maxAgeMs: HOUR,
        maxEntries: 1_000_000,
        maxBytes: 20_000_000,
        mayBeEmpty: false,
        ...settings,
      },
    ],
  });
  open.push(source);
  return source;
}

function threatsOf(source: AttributeSource, id: string): unknown {
  return (source.lookup(id, NEVER) as AttributeAnswer).attributes['threats'];
}

async function problem(): Promise<string> {
  const told = await eventually('the problem is told', () =>
    log.entries.find(({ level }) => level === 'error'),
  );
  return String((told.fields as { problem: unknown }).problem);
}

describe('a threat list at a URL', () => {
  test('is fetched at the start and again after its interval', async () => {
    const source = await threats();
    expect(threatsOf(source, '192.0.2.1')).toEqual(['tor']);
    handle = serving('["192.0.2.2"]', { 'content-type': 'application/json' });
    await eventually('the new version', () => String(threatsOf(source, '192.0.2.2')) || undefined);
    expect(threatsOf(source, '192.0.2.1')).toEqual([]);
  });

  test('is not sent again while its ETag stays, which confirms it', async () => {
    handle = versioned('192.0.2.1', 'W/"v1"');
    const source = await threats();
    clock.advance(HOUR - 1);
    await eventually('it is confirmed', () =>
      (source.lookup('192.0.2.1', NEVER) as AttributeAnswer).observedAt === clock.now() ? true : undefined,
    );
    expect(asked.slice(0, 2).map(({ headers }) => headers['if-none-match'])).toEqual([undefined, 'W/"v1"']);
    handle = versioned('192.0.2.2', 'W/"v2"');
    await eventually('the new version', () => String(threatsOf(source, '192.0.2.2')) || undefined);
    expect(log.entries.filter(({ message }) => message === 'list changed')).toHaveLength(2);
  });

  test('that was refused is not read again while its ETag stays, and confirms nothing', async () => {
    handle = versioned('192.0.2.1', '"good"');
    const source = await threats();
    handle = versioned('nonsense', '"bad"');
    expect(await problem()).toContain(":1:1: 'nonsense' is not an address");
    await eventually('the refused version is known', () =>
      asked.some(({ headers }) => headers['if-none-match'] === '"bad"') ? true : undefined,
    );
    expect(threatsOf(source, '192.0.2.1')).toEqual(['tor']);
    clock.advance(HOUR + 1);
    expect(() => source.lookup('192.0.2.1', NEVER)).toThrow(/was last confirmed 3600 s ago/);
    handle = versioned('192.0.2.1', '"good"');
    await eventually('the good version is back', () => {
      try {
        return threatsOf(source, '192.0.2.1');
      } catch {
        return undefined;
      }
    });
  });

  test('is asked for with the bearer token of the moment', async () => {
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, 'first.token\n');
    await threats({}, tokenFile);
    expect(asked[0]?.headers.authorization).toBe('Bearer first.token');
    await writeFile(tokenFile, 'second.token');
    await eventually('the new token is sent', () =>
      asked.at(-1)?.headers.authorization === 'Bearer second.token' ? true : undefined,
    );
    await writeFile(tokenFile, 'no\r\ntoken');
    expect(await problem()).toBe('the file holds no bearer token');
    expect(log.text()).not.toMatch(/first\.token|second\.token|s3cret/);
  });

  test.each<[string, Handler, RegExp]>([
    [
      'answers with an error',
      (_, response) => void response.writeHead(500).end('192.0.2.1'),
      /answered with status 500/,
    ],
    ['redirects', (_, response) => void response.writeHead(302, { location: '/other' }).end(), /redirect/],
    [
      'says 304 though it was not asked',
      (_, response) => void response.writeHead(304).end(),
      /answered with status 304/,
    ],
    ['hangs', () => undefined, /did not answer within 200 ms/],
    [
      'hangs in the middle',
      (_, response) => void response.writeHead(200).write('192.0.2.1\n'),
      /did not answer within 200 ms/,
    ],
    [
      'ends in the middle',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('192.0.2.1\n', () => response.destroy());
      },
      /closed|terminated|ended/,
    ],
    ['sends 10 MB', serving('192.0.2.1\n'.repeat(1_000_000)), /answered with more than 1000000 bytes/],
    ['sends something else', serving('<html>Sign in</html>'), /'<html>Sign in<\/html>' is not an address/],
    ['sends nothing', serving(''), /holds no entry/],
  ])(
    'has no list where its server %s; the start goes on, and lookups fail',
    async (_what, handler, expected) => {
      handle = handler;
      const from = { url, timeoutMs: 200 };
      const source = await threats({ from, maxBytes: 1_000_000 });
      expect(await problem()).toMatch(expected);
      expect(() => source.lookup('192.0.2.1', NEVER)).toThrow(
        expect.objectContaining({
          reason: 'attribute_unavailable',
          message: "list 'tor' has never been had",
        }),
      );
      expect(log.text()).not.toContain('s3cret');
      handle = serving('192.0.2.1');
      await eventually('the list comes', () => {
        try {
          return threatsOf(source, '192.0.2.1');
        } catch {
          return undefined;
        }
      });
    },
  );

  test('is not asked for any more once its point is closed', async () => {
    const source = await threats();
    handle = () => undefined;
    await eventually('it is being asked for', () => (asked.length > 1 ? true : undefined));
    await open.splice(0)[0]?.[Symbol.asyncDispose]();
    const count = asked.length;
    await once(server, 'request', { signal: AbortSignal.timeout(100) }).catch(() => undefined);
    expect(asked.length).toBe(count);
    expect(log.entries.filter(({ level }) => level === 'error')).toEqual([]);
    expect(threatsOf(source, '192.0.2.1')).toEqual(['tor']);
  });
});
