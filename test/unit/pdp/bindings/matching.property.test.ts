import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BindingTable } from '../../../../src/pdp/bindings/binding-table.ts';
import { readBindings } from '../../../../src/pdp/bindings/read-bindings.ts';
import type { Problem } from '../../../../src/pdp/errors.ts';
import { binding, factsOf, idFor, shapes, tableOf } from './fixture.ts';
import { type NaiveRequest, type SampleMatch, beats, verdictOf } from './naive-matcher.ts';

const SERVICE = 'spiffe://example.org/a';

const anyPath = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', '{}'), { maxLength: 2 }),
    fc.constantFrom('a', 'b', '{}', '**', '', '**'),
  )
  .map(([start, end]) =>
    [...start, end].map((part, index) => `/${part === '{}' ? `{c${index}}` : part}`).join(''),
  );
// Often the same one, so that bindings meet.
const path = fc.oneof(anyPath, fc.constantFrom('/a/{c}', '/a/{d}', '/a/**', '/a/b'));
const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 });
const named = (name: string) =>
  fc.constantFrom<Record<string, string | { present: true }>>(
    { [name]: 'v' },
    { [name]: 'w' },
    { [name]: { present: true } },
  );
const conditions = {
  path,
  method: some(['GET', 'PUT']),
  host: fc.constantFrom('h.x', 'g.h.x', '*.x', '*.h.x', ['h.x', 'g.h.x'], ['h.x', '*.h.x']),
  headers: fc.oneof(
    named('t'),
    named('s'),
    fc.tuple(named('t'), named('s')).map(([one, two]) => ({ ...one, ...two })),
    // The order in which conditions are written must not matter.
    fc.tuple(named('s'), named('t')).map(([one, two]) => ({ ...one, ...two })),
  ),
};
const matchOf: fc.Arbitrary<SampleMatch> = fc.record(
  { ...conditions, service: fc.constant(SERVICE), extensions: named('e') },
  { requiredKeys: ['path'] },
);
const simpleMatchOf: fc.Arbitrary<SampleMatch> = fc.record(
  { ...conditions, headers: named('t'), path: fc.constantFrom('/a/{c}', '/a/{d}', '/{c}/a', '/a/**', '/**') },
  { requiredKeys: ['path'] },
);

const METHODS = ['GET', 'PUT', 'DELETE'];
const HOSTS = ['h.x', 'g.h.x', 'k.x', 'k.h.x', 'y'];
const SEGMENTS = ['a', 'b', 'c'];

const requestOf: fc.Arbitrary<NaiveRequest> = fc.record({
  path: fc
    .tuple(fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 3 }), fc.constantFrom(...SEGMENTS, ''))
    .map(([start, end]) => [...start, end].map((part) => `/${part}`).join('')),
  method: fc.constantFrom(...METHODS),
  host: fc.constantFrom(...HOSTS),
  service: fc.constantFrom(undefined, SERVICE, 'spiffe://example.org/b'),
  headers: fc.record({ t: headerValues(), s: headerValues() }, { requiredKeys: [] }),
  extensions: fc.record({ e: fc.constantFrom('v', 'w', 'u') }, { requiredKeys: [] }),
});

function headerValues(): fc.Arbitrary<readonly string[]> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(['v'], ['w'], ['u']) },
    { weight: 1, arbitrary: fc.constant(['v', 'v']) },
  );
}

/** Every request that can make a difference to `simpleMatchOf`. */
const UNIVERSE: readonly NaiveRequest[] = everyPath().flatMap((at) => requestsAt(at));

/** Every combination of conditions that can make a difference to `matchOf`, at one path. */
function requestsAt(at: string, full = false): NaiveRequest[] {
  const headers = (name: string) =>
    [undefined, 'v', 'w', 'u'].map((value) => (value === undefined ? {} : { [name]: [value] }));
  const others = full
    ? headers('s').flatMap((s) =>
        [undefined, SERVICE].flatMap((service) =>
          [undefined, 'v', 'w', 'u'].map((e) => ({ s, service, extensions: e === undefined ? {} : { e } })),
        ),
      )
    : [{ s: {}, service: undefined, extensions: {} }];
  return METHODS.flatMap((method) =>
    HOSTS.flatMap((host) =>
      headers('t').flatMap((t) =>
        others.map(({ s, service, extensions }) => ({
          path: at,
          method,
          host,
          service,
          headers: { ...t, ...s },
          extensions,
        })),
      ),
    ),
  );
}

function everyPath(): string[] {
  let starts = [''];
  const paths: string[] = [];
  for (let depth = 1; depth <= 4; depth += 1) {
    paths.push(...starts.map((start) => `${start}/`));
    starts = starts.flatMap((start) => SEGMENTS.map((segment) => `${start}/${segment}`));
    paths.push(...starts);
  }
  return paths;
}

/** Some path that meets a template. */
function samplePath(template: string): string {
  return template.replaceAll(/\{\w+\}|\*\*/g, 'c');
}

function read(matches: readonly SampleMatch[]) {
  const problems: Problem[] = [];
  const text = JSON.stringify({ bindings: matches.map((match, index) => binding(`b${index}`, match)) });
  const table = new BindingTable(readBindings([{ file: 'bindings.yaml', text }], shapes, problems));
  const accepted = matches
    .map((match, index) => ({ id: `b${index}`, match }))
    .filter(({ id }) => table.ids.includes(id));
  return { table, accepted, problems: problems.map(({ message }) => message) };
}

function isMoreSpecific(one: SampleMatch, other: SampleMatch): boolean {
  return beats(one, other, requestsAt(samplePath(one.path), true));
}

describe('the table answers like a search through all bindings', () => {
  test('and no two accepted bindings ever tie', () => {
    fc.assert(
      fc.property(
        fc.array(matchOf, { maxLength: 8 }),
        fc.array(requestOf, { minLength: 40, maxLength: 40 }),
        (matches, requests) => {
          const { table, accepted } = read(matches);
          for (const request of requests) {
            const candidates = accepted
              .map((item) => ({ ...item, verdict: verdictOf(item.match, request) }))
              .filter(({ verdict }) => verdict !== 'unmet');
            const best = candidates.filter(
              (one) => !candidates.some((other) => other !== one && isMoreSpecific(other.match, one.match)),
            );
            const ambiguous = best.some(({ verdict }) => verdict === 'ambiguous');
            if (!ambiguous) expect(best.length).toBeLessThan(2);
            expect(idFor(table, { ...request, service: request.service ?? '' })).toBe(
              ambiguous ? 'header_ambiguous' : best[0]?.id,
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('and is the same whatever the order of the bindings', () => {
    fc.assert(
      fc.property(
        fc.array(matchOf, { maxLength: 8 }),
        fc.array(requestOf, { minLength: 20 }),
        (matches, requests) => {
          const { accepted } = read(matches);
          const forwards = tableOf(accepted.map(({ id, match }) => binding(id, match)));
          const backwards = tableOf(accepted.map(({ id, match }) => binding(id, match)).reverse());
          for (const request of requests) {
            const sample = { ...request, service: request.service ?? '' };
            expect(idFor(backwards, sample)).toBe(idFor(forwards, sample));
          }
        },
      ),
    );
  });
});

describe('bindings are refused exactly where they conflict', () => {
  test('each accepted one takes some request, each shadowed one none, each ambiguous pair ties', () => {
    const seen = { accepted: 0, shadowed: 0, ambiguous: 0 };
    fc.assert(
      fc.property(fc.array(simpleMatchOf, { minLength: 1, maxLength: 6 }), (matches) => {
        const { table, accepted, problems } = read(matches);
        const taken = new Set(
          UNIVERSE.map((request) => table.match(factsOf({ ...request, service: '' }))).map(idOf),
        );
        for (const { id } of accepted) expect(taken).toContain(id);
        seen.accepted += accepted.length;
        for (const problem of problems) {
          const [first, second] = [...problem.matchAll(/'b(\d)'/g)].map((found) => matches[Number(found[1])]);
          if (!first || !second) throw new Error(problem);
          if (problem.includes('never')) {
            seen.shadowed += 1;
            continue;
          }
          seen.ambiguous += 1;
          const tie = UNIVERSE.find(
            (at) => verdictOf(first, at) === 'met' && verdictOf(second, at) === 'met',
          );
          expect(tie).toBeDefined();
          expect(isMoreSpecific(first, second) || isMoreSpecific(second, first)).toBe(false);
        }
      }),
      { numRuns: 150 },
    );
    expect(seen.accepted).toBeGreaterThan(100);
    expect(seen.ambiguous).toBeGreaterThan(5);
  });

  test('a shadowed one loses every request that it meets to another', () => {
    // Few values, so that they are often used up.
    const narrow: fc.Arbitrary<SampleMatch> = fc.record(
      {
        path: fc.constantFrom('/a/**', '/a/', '/a/{c}', '/a/{c}/**', '/a/{c}/{d}'),
        method: some(['GET', 'PUT']),
        host: fc.constantFrom('h.x', 'y', '*.x', ['*.x', 'y'], ['h.x', 'y']),
      },
      { requiredKeys: ['path'] },
    );
    let shadowed = 0;
    fc.assert(
      fc.property(fc.array(narrow, { minLength: 3, maxLength: 8 }), (matches) => {
        const { accepted, problems } = read(matches);
        for (const problem of problems.filter((message) => message.includes('never'))) {
          const match = matches[Number(/'b(\d)'/.exec(problem)?.[1])];
          if (!match) throw new Error(problem);
          shadowed += 1;
          const better = accepted.filter((other) => isMoreSpecific(other.match, match));
          const lost = UNIVERSE.filter((request) => verdictOf(match, request) === 'met').every((request) =>
            better.some((other) => verdictOf(other.match, request) === 'met'),
          );
          expect(lost).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
    expect(shadowed).toBeGreaterThan(0);
  });
});

function idOf(match: object | undefined): string | undefined {
  return match && 'id' in match ? String(match.id) : undefined;
}
