import { afterAll, beforeAll, expect, test } from 'vitest';
import { findEnvoy } from '../support/parts.ts';
import {
  type CarelessMesh,
  LISTENERS,
  PATH,
  expectAgreed,
  expectEnded,
  expectServed,
  startCarelessMesh,
} from './careless-mesh.ts';
import { flawClass } from './flaw-class.ts';
import { PATH_VECTORS } from './path-vectors.ts';

let proxy: CarelessMesh;
beforeAll(async () => {
  if (findEnvoy() !== undefined) proxy = await startCarelessMesh();
});
afterAll(() => proxy?.[Symbol.asyncDispose]());

/** The path vectors of a class, as attempts on the one path that is permitted. */
function vectorsOf(number: number): readonly string[] {
  const vectors = PATH_VECTORS.filter(({ flaw, path }) => flaw === number && /^[!-~\x80-\xff]+$/.test(path));
  return vectors.flatMap(({ path }) => [
    path,
    path.replace('/public/page', PATH),
    path.replace(/\badmin\b/, PATH.slice(1)),
  ]);
}

async function expectPathsAgreed(number: number): Promise<void> {
  for (const path of new Set(vectorsOf(number))) {
    // Envoy takes targets in absolute form apart: they are plain paths when we are asked.
    if (!/^https?:/.test(path))
      expectEnded(await proxy.http1('ledger-api', { target: path }), 'path_ambiguous');
    expectAgreed(await proxy.http1('edge', { target: path }));
  }
  for (const to of LISTENERS) expectServed(await proxy.http1(to, {}));
}

flawClass(1, 'Envoy', () => {
  test('every vector ends, or is decided on as the service sees it', () => expectPathsAgreed(1));
  test('an absolute-form target is decided on by its own path and host', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { target: `http://other.example${PATH}` });
      expectServed(outcome);
      expect(outcome.seen?.headers).toContainEqual(['host', 'other.example']);
      expect(outcome.record).toMatchObject({ host: 'other.example' });
      expectEnded(
        await proxy.http1(to, { target: 'http://evil.example//admin' }),
        'path_ambiguous',
        'no_permit',
      );
    }
  });
});

flawClass(2, 'Envoy', () => {
  test('the query is passed on, and not decided on', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { target: `${PATH}?next=//x/../y` });
      expectServed(outcome);
      expect(outcome.seen?.path).toBe(`${PATH}?next=//x/../y`);
      expectEnded(await proxy.http1(to, { target: `/x?${PATH}` }), 'no_permit');
    }
  });
});

flawClass(3, 'Envoy', () => {
  test('every vector ends, or is decided on as the service sees it', () => expectPathsAgreed(3));
});

flawClass(4, 'Envoy', () => {
  test('every vector ends, or is decided on as the service sees it', () => expectPathsAgreed(4));
});

flawClass(5, 'Envoy', () => {
  test('every vector ends, or is decided on as the service sees it', () => expectPathsAgreed(5));
});

flawClass(6, 'Envoy', () => {
  test('every vector ends, or is decided on as the service sees it', () => expectPathsAgreed(6));
});

flawClass(8, 'Envoy', () => {
  test("a path without leading '/' ends", async () => {
    for (const to of LISTENERS) {
      for (const target of ['internal/entries', '*', '?x'])
        expectEnded(await proxy.http1(to, { target }), 'path_ambiguous');
      for (const path of ['internal/entries', '*', ''])
        expectEnded(await proxy.http2(to, { ':path': path }), 'path_ambiguous');
      expectServed(await proxy.http2(to, {}));
    }
  });
});

flawClass(13, 'Envoy', () => {
  test('control characters end, raw and encoded', async () => {
    for (const to of LISTENERS) {
      for (const target of [`${PATH}%00`, `${PATH}%0d%0ax:y`, `${PATH}\x01`, `${PATH}\0`, `${PATH}%7f`])
        expectEnded(await proxy.http1(to, { target }), 'path_ambiguous');
      for (const line of ['x-a: b\0c', 'x-a\x01: b']) expectEnded(await proxy.http1(to, { lines: [line] }));
    }
  });
});

flawClass(14, 'Envoy', () => {
  test('a path with bytes that are not ASCII ends, also where Envoy repairs them for us and not for the service', async () => {
    for (const to of LISTENERS)
      for (const path of [`${PATH}\xff`, `${PATH}\xc3\xa9`, `/internal\xff/../entries`, `${PATH}%c0%af`]) {
        expectEnded(await proxy.http1(to, { target: path }), 'path_ambiguous', 'no_permit');
        expectEnded(await proxy.http2(to, { ':path': path }), 'path_ambiguous', 'no_permit');
      }
  });
  test('the path that such a repair would make is decided on as it is', async () => {
    expectEnded(await proxy.http2('ledger-api', { ':path': '/internal/entries!' }), 'no_permit');
    expectEnded(await proxy.http2('ledger-api', { ':path': '/internal/entries\xff' }), 'path_ambiguous');
  });
  test('a header with such bytes is no reason for a fault, and reaches the service as it came', async () => {
    for (const to of LISTENERS) {
      const outcome = await proxy.http1(to, { lines: ['x-note: caf\xe9\xff'] });
      expectServed(outcome);
      expect(outcome.seen?.headers).toContainEqual(['x-note', 'caf\xe9\xff']);
      expectEnded(await proxy.http1(to, { lines: ['authorization: Bearer \xe9'] }), 'token_malformed');
    }
  });
});
