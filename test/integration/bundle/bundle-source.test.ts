import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { OpenedBundle } from '../../../src/pdp/bundle/bundle.ts';
import {
  type BundleSource,
  type BundleSourceOptions,
  createBundleSource,
} from '../../../src/pdp/bundle/bundle-source.ts';
import { InputError } from '../../../src/pdp/errors.ts';
import { createManualClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { bundleOf, folderWith, newKeys, repack } from '../../unit/pdp/bundle/sample-sets.ts';
import { type HttpSource, serving, startHttpSource } from './http-source.ts';

const keys = newKeys();
const first = bundleOf('first', 1, keys);
const second = bundleOf('second', 2, keys);
const third = bundleOf('third', 3, keys);
const tooMuch = Buffer.alloc(33 * 1024 * 1024);
const bomb = gzipSync(Buffer.alloc(65 * 1024 * 1024), { level: 1 });
const HOUR = 3_600_000;

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const part of open.splice(0).reverse()) await part[Symbol.asyncDispose]();
});

async function server(...args: Parameters<typeof startHttpSource>): Promise<HttpSource> {
  const started = await startHttpSource(...args);
  open.push(started);
  return started;
}

interface Fixture {
  readonly source: BundleSource;
  readonly taken: OpenedBundle[];
  /** Of the bundles put in force, in order. */
  readonly revisions: () => number[];
  readonly infos: string[];
  readonly errors: string[];
  readonly clock: ReturnType<typeof createManualClock>;
  readonly cacheFile: string;
}

function fixture(url: string, changes: Partial<BundleSourceOptions> = {}): Fixture {
  const taken: OpenedBundle[] = [];
  const infos: string[] = [];
  const errors: string[] = [];
  const clock = createManualClock();
  const cacheFile = changes.cacheFile ?? join(folderWith({}), 'cache', 'bundle');
  const source = createBundleSource({
    url,
    cacheFile,
    publicKeys: [keys.publicKey],
    pollMs: HOUR,
    clock,
    log: {
      info: (_, message) => infos.push(message),
      warn: (_, message) => errors.push(message),
      error: (_, message) => errors.push(message),
    },
    onBundle: (opened) => void taken.push(opened),
    ...changes,
  });
  open.push(source);
  return {
    source,
    taken,
    revisions: () => taken.map(({ revision }) => revision),
    infos,
    errors,
    clock,
    cacheFile,
  };
}

describe('bundle source', () => {
  test('puts the bundle of its URL in force and caches it', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, taken, clock, cacheFile, infos } = fixture(http.url);
    await source.start();
    expect(taken[0]?.texts.policies[0]?.text).toContain('first');
    expect(source.state()).toEqual({
      revision: 1,
      etag: '"1"',
      fetchedAt: clock.now(),
      lastError: undefined,
    });
    expect(infos).toEqual(['policy bundle activated']);
    expect(readFileSync(cacheFile).subarray(-first.length)).toEqual(first);
    expect(statSync(cacheFile).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(cacheFile, '..'))).toEqual(['bundle']);
  });

  test('sends the ETag and takes 304 as a confirmation', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, revisions, clock } = fixture(http.url);
    await source.start();
    clock.advance(60_000);
    await source.poll();
    expect(http.asked).toEqual([undefined, '"1"']);
    expect(revisions()).toEqual([1]);
    expect(source.state()).toMatchObject({ fetchedAt: clock.now(), lastError: undefined });
  });

  test('takes a newer bundle', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, revisions } = fixture(http.url);
    await source.start();
    http.behave(serving(second, 'W/"2"'));
    await source.poll();
    expect(revisions()).toEqual([1, 2]);
    expect(source.state()).toMatchObject({ revision: 2, etag: 'W/"2"' });
  });

  test('does not put in force again, or write again, what is sent again without an ETag', async () => {
    const http = await server(serving(first));
    const { source, revisions, cacheFile } = fixture(http.url);
    await source.start();
    const before = statSync(cacheFile, { bigint: true });
    await source.poll();
    expect(revisions()).toEqual([1]);
    expect(statSync(cacheFile, { bigint: true })).toMatchObject({ ino: before.ino, mtimeNs: before.mtimeNs });
    expect(http.asked).toEqual([undefined, undefined]);
  });

  test('looks again by itself', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, revisions } = fixture(http.url, { pollMs: 5 });
    await source.start();
    http.behave(serving(second, '"2"'));
    await eventually('the second bundle', () => (revisions().includes(2) ? true : undefined));
    expect(source.state().revision).toBe(2);
  });

  test('does nothing more once it is disposed', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, revisions } = fixture(http.url);
    await source.start();
    await source[Symbol.asyncDispose]();
    http.behave(serving(second, '"2"'));
    await source.poll();
    expect(revisions()).toEqual([1]);
    expect(http.asked).toHaveLength(1);
  });

  test('ends a look under way when it is disposed, without taking its answer', async () => {
    const http = await server(() => undefined);
    const { source, taken, errors } = fixture(http.url);
    const started = source.start();
    await eventually(
      'the request',
      () => http.asked[0] !== undefined || http.asked.length === 1 || undefined,
    );
    await source[Symbol.asyncDispose]();
    await started;
    expect(taken).toEqual([]);
    expect(errors).toEqual([]);
  });
});

test('an answer that comes after the source was disposed is not taken, even if fetch does not heed its signal', async () => {
  const answer = Promise.withResolvers<Response>();
  const { source, taken } = fixture('https://example.com/b', { fetch: () => answer.promise });
  const started = source.start();
  await new Promise((resolve) => setImmediate(resolve));
  const disposed = source[Symbol.asyncDispose]();
  answer.resolve(new Response(new Uint8Array(first)));
  await Promise.all([started, disposed]);
  expect(taken).toEqual([]);
});

describe('bundle source URL', () => {
  test.each([
    ['http://policies.example.com/b', 'is not https'],
    ['http://127.0.0.1.example.com/b', 'is not https'],
    ['file:///etc/passwd', 'is not https'],
    ['https://user:secret@example.com/b', 'holds credentials'],
    ['policies', 'is not a URL'],
  ])('%s is refused', (url, problem) => {
    expect(() => fixture(url)).toThrow(InputError);
    expect(() => fixture(url)).toThrow(problem);
    expect(() => fixture(url)).not.toThrow(/secret/);
  });

  test.each(['https://example.com/b', 'http://localhost:1/b', 'http://[::1]:1/b', 'http://127.8.9.1/b'])(
    '%s is taken',
    (url) => expect(() => fixture(url)).not.toThrow(),
  );

  test('is told and kept without its query, which may grant access', async () => {
    const http = await server(serving(first));
    const { source, errors, cacheFile } = fixture(`${http.url}?signature=secret`);
    await source.start();
    http.behave((_, response) => response.writeHead(500).end());
    await source.poll();
    expect(errors).toHaveLength(1);
    expect(JSON.stringify([errors, source.state()])).not.toContain('secret');
    expect(readFileSync(cacheFile, 'latin1')).not.toContain('secret');
  });
});

describe('bundle source, with a source in trouble', () => {
  const troubles: [string, Parameters<HttpSource['behave']>[0], RegExp][] = [
    ['answers 404', (_, response) => response.writeHead(404).end('no'), /answered with status 404/],
    ['answers 500', (_, response) => response.writeHead(500).end(), /answered with status 500/],
    ['answers 206', (_, response) => response.writeHead(206).end(second), /answered with status 206/],
    ['answers nothing', () => undefined, /did not answer within 1000 ms/],
    [
      'hangs in the body',
      (_, response) => void response.writeHead(200).write(second.subarray(0, 50)),
      /did not answer within 1000 ms/,
    ],
    ['hangs up', (request) => request.socket.destroy(), /other side closed|ECONNRESET/],
    [
      'hangs up within the body',
      (_, response) => {
        response.writeHead(200, { 'content-length': second.length });
        response.write(second.subarray(0, 50), () => response.destroy());
      },
      /other side closed|aborted|terminated|ECONNRESET/,
    ],
    [
      'redirects',
      (request, response) => {
        if (request.url === '/elsewhere') response.writeHead(200).end(second);
        else response.writeHead(302, { location: '/elsewhere' }).end();
      },
      /redirect/,
    ],
    ['sends too much', (_, response) => response.writeHead(200).end(tooMuch), /more than 33554432 bytes/],
    ['sends garbage', (_, response) => response.writeHead(200).end('<html>'), /is not a whole gzip file/],
    ['sends nothing', (_, response) => response.writeHead(200).end(), /is not a whole gzip file/],
    [
      'sends half a bundle',
      (_, response) => response.writeHead(200).end(second.subarray(0, 200)),
      /is not a whole gzip/,
    ],
    ['sends another archive', (_, response) => response.writeHead(200).end(gzipSync('hello')), /end marker/],
    ['sends a bomb', (_, response) => response.writeHead(200).end(bomb), /unpacked/],
    ['sends an unsigned bundle', serving(bundleOf('evil', 9)), /manifest\.sig: is missing/],
    ['sends a bundle by another key', serving(bundleOf('evil', 9, newKeys())), /is by the key/],
    [
      'sends a changed bundle',
      serving(
        repack(second, (entries) =>
          entries.map((entry) =>
            entry.path.endsWith('.cedar')
              ? { ...entry, content: Buffer.from('permit(principal,action,resource);') }
              : entry,
          ),
        ),
      ),
      /set\/set\.cedar: is not what manifest\.json says/,
    ],
  ];

  test.each(troubles)(
    'that %s keeps what is in force, says so once, and recovers',
    async (_, behaviour, message) => {
      const http = await server(serving(first, '"1"'));
      const { source, revisions, errors } = fixture(
        http.url,
        /within 1000 ms/.test(message.source) ? { timeoutMs: 1000 } : {},
      );
      await source.start();
      const { fetchedAt } = source.state();
      http.behave(behaviour);
      await source.poll();
      await source.poll();
      expect(source.state()).toEqual({
        revision: 1,
        etag: '"1"',
        fetchedAt,
        lastError: expect.stringMatching(message),
      });
      expect(errors).toEqual([expect.stringMatching(message)]);
      http.behave(serving(second, '"2"'));
      await source.poll();
      expect(revisions()).toEqual([1, 2]);
      expect(source.state().lastError).toBeUndefined();
    },
  );

  test('is not started, but starts later, when nothing answers and nothing is cached', async () => {
    const http = await server(serving(first));
    await http.stop();
    const { source, taken, errors } = fixture(http.url);
    await source.start();
    expect(taken).toEqual([]);
    expect(source.state()).toMatchObject({ revision: undefined, fetchedAt: undefined });
    expect(errors).toEqual([expect.stringMatching(/cannot be fetched: .*ECONNREFUSED/)]);
    await server(serving(first), Number(new URL(http.url).port));
    await source.poll();
    expect(source.state()).toMatchObject({ revision: 1, lastError: undefined });
  });

  test('that answers 304 to a request without an ETag is not believed', async () => {
    const http = await server((_, response) => response.writeHead(304).end());
    const { source } = fixture(http.url);
    await source.start();
    expect(source.state()).toMatchObject({ revision: undefined, lastError: expect.stringContaining('304') });
  });

  test('is asked with the ETag of what is in force, never of what was refused', async () => {
    const http = await server(serving(first, '"1"'));
    const { source } = fixture(http.url);
    await source.start();
    http.behave(serving(Buffer.from('garbage'), '"2"'));
    await source.poll();
    http.behave(serving(second, '"2"'));
    await source.poll();
    expect(http.asked).toEqual([undefined, '"1"', '"1"']);
    expect(source.state().revision).toBe(2);
  });

  test('is reported once for each version that is refused', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, errors } = fixture(http.url);
    await source.start();
    for (const etag of ['"2"', '"2"', '"3"', '"3"']) {
      http.behave(serving(Buffer.from(`garbage ${etag}`), etag));
      await source.poll();
    }
    expect(errors).toHaveLength(2);
  });

  test('is reported once for a version that is refused, even if it was away in between', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, errors, infos } = fixture(http.url);
    await source.start();
    for (let round = 0; round < 3; round += 1) {
      http.behave(serving(Buffer.from('garbage'), '"2"'));
      await source.poll();
      http.behave(serving(first, '"1"'));
      await source.poll();
    }
    expect(errors).toHaveLength(1);
    expect(infos.filter((info) => info === 'policy bundle source recovered')).toHaveLength(3);
  });

  test('with an ETag that is not one is asked without', async () => {
    const http = await server((_, response) => response.writeHead(200, { etag: 'x'.repeat(300) }).end(first));
    const { source } = fixture(http.url);
    await source.start();
    await source.poll();
    expect(http.asked).toEqual([undefined, undefined]);
    expect(source.state()).toMatchObject({ revision: 1, etag: undefined });
  });
});

describe('bundle that cannot be put in force', () => {
  test('is not cached and leaves what is in force', async () => {
    const http = await server(serving(first, '"1"'));
    const applied: number[] = [];
    const { source, cacheFile, errors } = fixture(http.url, {
      onBundle({ revision }) {
        if (revision === 2)
          throw new InputError('the policy set is not valid:', [{ where: 'set', message: 'bad' }]);
        applied.push(revision);
      },
    });
    await source.start();
    http.behave(serving(second, '"2"'));
    await source.poll();
    await source.poll();
    expect(errors).toEqual([expect.stringContaining('set: bad')]);
    expect(source.state()).toMatchObject({ revision: 1, etag: '"1"' });
    expect(readFileSync(cacheFile).subarray(-first.length)).toEqual(first);
    http.behave(serving(third, '"3"'));
    await source.poll();
    expect(applied).toEqual([1, 3]);
  });

  test('does not count as a revision that was taken', async () => {
    const http = await server(serving(third, '"3"'));
    const applied: number[] = [];
    const { source } = fixture(http.url, {
      async onBundle({ revision }) {
        if (revision === 3) throw new Error('no');
        applied.push(revision);
      },
    });
    await source.start();
    http.behave(serving(second, '"2"'));
    await source.poll();
    expect(applied).toEqual([2]);
  });

  test('is offered again, as what stopped it may be gone', async () => {
    const http = await server(serving(first, '"1"'));
    let ready = false;
    const { source } = fixture(http.url, {
      onBundle() {
        if (!ready) throw new Error('not yet');
      },
    });
    await source.start();
    expect(source.state()).toMatchObject({
      revision: undefined,
      lastError: expect.stringContaining('not yet'),
    });
    ready = true;
    await source.poll();
    expect(source.state()).toMatchObject({ revision: 1, lastError: undefined });
  });
});

describe('rollback', () => {
  test('is refused, and says which revision is in the way', async () => {
    const http = await server(serving(second, '"2"'));
    const { source, revisions, errors } = fixture(http.url);
    await source.start();
    http.behave(serving(first, '"1"'));
    await source.poll();
    expect(revisions()).toEqual([2]);
    expect(errors).toEqual([
      expect.stringContaining('is revision 1, older than revision 2 that was taken before'),
    ]);
  });

  test('is refused across a restart', async () => {
    const http = await server(serving(second, '"2"'));
    const before = fixture(http.url);
    await before.source.start();
    await before.source[Symbol.asyncDispose]();
    http.behave(serving(first, '"1"'));
    const after = fixture(http.url, { cacheFile: before.cacheFile });
    await after.source.start();
    expect(after.revisions()).toEqual([2]);
    expect(after.source.state().lastError).toContain('older than revision 2');
  });

  test('is refused across a restart even if the newer revision is no longer valid', async () => {
    const http = await server(serving(second, '"2"'));
    const before = fixture(http.url);
    await before.source.start();
    await before.source[Symbol.asyncDispose]();
    http.behave(serving(first, '"1"'));
    const applied: number[] = [];
    const after = fixture(http.url, {
      cacheFile: before.cacheFile,
      onBundle({ revision }) {
        if (revision === 2) throw new Error('no longer valid');
        applied.push(revision);
      },
    });
    await after.source.start();
    expect(applied).toEqual([]);
    expect(after.errors).toEqual([
      expect.stringContaining('no longer valid'),
      expect.stringContaining('older than revision 2'),
    ]);
  });

  test('by other content under the same revision is refused', async () => {
    const http = await server(serving(second, '"2"'));
    const { source, revisions, errors } = fixture(http.url);
    await source.start();
    http.behave(serving(bundleOf('other', 2, keys), '"2b"'));
    await source.poll();
    expect(revisions()).toEqual([2]);
    expect(errors).toEqual([expect.stringContaining('with other content; raise it')]);
  });

  test('is taken where it is allowed, and then counts', async () => {
    const http = await server(serving(second, '"2"'));
    const { source, revisions, cacheFile } = fixture(http.url, { allowRollback: true });
    await source.start();
    http.behave(serving(first, '"1"'));
    await source.poll();
    expect(revisions()).toEqual([2, 1]);
    expect(readFileSync(cacheFile).subarray(-first.length)).toEqual(first);
  });
});

describe('restart', () => {
  async function cached(bundle = second): Promise<{ readonly cacheFile: string; readonly http: HttpSource }> {
    const http = await server(serving(bundle, '"2"'));
    const { source, cacheFile } = fixture(http.url);
    await source.start();
    await source[Symbol.asyncDispose]();
    return { cacheFile, http };
  }

  test('without the source serves what was cached', async () => {
    const { cacheFile, http } = await cached();
    await http.stop();
    const { source, revisions, errors, infos } = fixture(http.url, { cacheFile });
    await source.start();
    expect(revisions()).toEqual([2]);
    expect(source.state()).toMatchObject({ revision: 2, fetchedAt: Date.UTC(2026, 0, 1), etag: undefined });
    expect(infos).toEqual(['policy bundle activated from the cache']);
    expect(errors).toEqual([expect.stringContaining('ECONNREFUSED')]);
  });

  test('puts the cache in force before the source has answered', async () => {
    const { cacheFile, http } = await cached();
    http.behave(() => undefined);
    const { source, revisions } = fixture(http.url, { cacheFile });
    const started = source.start();
    await eventually('the cached bundle', () => revisions()[0]);
    expect(http.asked.length).toBeLessThanOrEqual(2);
    await source[Symbol.asyncDispose]();
    await started;
  });

  test('asks the source for the whole bundle, as nothing vouches for what a cache says of it', async () => {
    const { cacheFile, http } = await cached();
    const { source, revisions } = fixture(http.url, { cacheFile });
    await source.start();
    expect(http.asked).toEqual([undefined, undefined]);
    expect(revisions()).toEqual([2]);
    expect(source.state().etag).toBe('"2"');
  });

  test('verifies the cache anew: any byte of it changed is refused or harmless', async () => {
    const { cacheFile, http } = await cached();
    await http.stop();
    const content = readFileSync(cacheFile);
    for (let index = 0; index < content.length; index += 11) {
      const changed = Buffer.from(content);
      changed[index] = (changed[index] ?? 0) ^ 1;
      writeFileSync(cacheFile, changed);
      const { source, taken } = fixture(http.url, { cacheFile });
      await source.start();
      for (const { texts } of taken) expect(texts.policies[0]?.text).toContain('second');
    }
  });

  test.each<[string, Buffer, RegExp]>([
    ['garbage', Buffer.from('garbage'), /is not a cached policy bundle/],
    ['nothing', Buffer.alloc(0), /is not a cached policy bundle/],
    ['a bare bundle', second, /is not a cached policy bundle/],
    ['another JSON line', Buffer.from('null\n'), /is not a cached policy bundle/],
    ['more than any bundle', Buffer.alloc(33 * 1024 * 1024), /is larger than any bundle/],
  ])('does not trip over a cache that holds %s', async (_, content, message) => {
    const { cacheFile, http } = await cached();
    writeFileSync(cacheFile, content);
    const { source, revisions, errors } = fixture(http.url, { cacheFile });
    await source.start();
    expect(errors).toEqual([expect.stringMatching(message)]);
    expect(revisions()).toEqual([2]);
    expect(source.state().lastError).toBeUndefined();
  });

  test('with a key configured refuses a cache from the time without', async () => {
    const http = await server(serving(bundleOf('old', 1)));
    const before = fixture(http.url, { publicKeys: [] });
    await before.source.start();
    expect(before.revisions()).toEqual([1]);
    await before.source[Symbol.asyncDispose]();
    await http.stop();
    const after = fixture(http.url, { cacheFile: before.cacheFile });
    await after.source.start();
    expect(after.taken).toEqual([]);
    expect(after.errors[0]).toContain('manifest.sig: is missing');
  });

  test('with another URL does not serve what the old one gave', async () => {
    const { cacheFile, http } = await cached();
    await http.stop();
    const { source, taken, errors } = fixture(http.url.replace('bundle.tar', 'other.tar'), { cacheFile });
    await source.start();
    expect(taken).toEqual([]);
    expect(errors[0]).toContain('holds a bundle of another source');
  });

  test('is warned of while the bundle cannot be cached, until it can', async () => {
    const http = await server(serving(first, '"1"'));
    const blocked = join(folderWith({ file: '' }), 'file', 'bundle');
    const { source, revisions, errors } = fixture(http.url, { cacheFile: blocked });
    await source.start();
    await source.poll();
    expect(revisions()).toEqual([1]);
    expect(errors.filter((error) => error.includes('cannot be cached'))).toHaveLength(1);
    expect(source.state().lastError).toContain('cannot be cached');
    rmSync(join(blocked, '..'));
    await source.poll();
    expect(source.state()).toMatchObject({ revision: 1, etag: '"1"', lastError: undefined });
    expect(existsSync(blocked)).toBe(true);
  });
});

describe('looks at the same time', () => {
  test('come one after the other, so that a late answer never overwrites a newer one', async () => {
    const http = await server(serving(first, '"1"'));
    const { source, revisions } = fixture(http.url, { allowRollback: true });
    await source.start();
    const release = Promise.withResolvers<void>();
    http.behave((request, response) => {
      http.behave(serving(third, '"3"'));
      void release.promise.then(() => serving(second, '"2"')(request, response));
    });
    const slow = source.poll();
    await eventually('the slow request', () => http.asked[1]);
    const later = source.poll();
    const shared = source.poll();
    release.resolve();
    await Promise.all([slow, later, shared]);
    expect(revisions()).toEqual([1, 2, 3]);
    expect(http.asked).toEqual([undefined, '"1"', '"2"']);
  });

  test('never put two bundles in force at once', async () => {
    const http = await server(serving(first, '"1"'));
    let applying = 0;
    let most = 0;
    const { source } = fixture(http.url, {
      async onBundle() {
        most = Math.max(most, (applying += 1));
        await new Promise((resolve) => setImmediate(resolve));
        applying -= 1;
      },
    });
    const started = source.start();
    http.behave(serving(second, '"2"'));
    await Promise.all([started, source.poll(), source.poll()]);
    expect(most).toBe(1);
    expect(source.state().revision).toBe(2);
  });
});
