import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import { NEVER, type Question, remoteSetup } from './manual-fact-source.ts';

const FRESH_MS = 1_000;
const MAX_STALE_MS = 3_000;
const IDS = ['a', 'b'] as const;
const id = fc.constantFrom(...IDS);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('lookup' as const), id, stale: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('answer' as const), which: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), which: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(1_500) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('change' as const), id }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'miss' as const }) },
);

/** A world in which subjects change, and each change is told; the source says how it was when it was asked. */
function createWorld() {
  const setup = remoteSetup({
    freshMs: FRESH_MS,
    maxStaleMs: MAX_STALE_MS,
    breaker: { failures: 2, pauseMs: 400 },
  });
  const versions = { a: 0, b: 0 };
  const seen = new Map<Question, { readonly version: number; readonly askedAt: number }>();
  const answered = new Set<Question>();
  return {
    setup,
    versions,
    /** Questions as they were asked; those that are still open. */
    pending(): Question[] {
      for (const question of setup.asked) {
        if (seen.has(question)) continue;
        const version = versions[question.id as 'a' | 'b'];
        seen.set(question, { version, askedAt: setup.clock.monotonic() });
      }
      return setup.asked.filter((question) => !answered.has(question));
    },
    answer(question: Question): void {
      answered.add(question);
      const { version = 0, askedAt = 0 } = seen.get(question) ?? {};
      question.answer({ attributes: { version, askedAt } });
    },
    fail(question: Question): void {
      answered.add(question);
      question.fail(new Error('down'));
    },
    versionOf: (question: Question): number | undefined => seen.get(question)?.version,
  };
}

type World = ReturnType<typeof createWorld>;

/** What is said at once must be young, and of the time after the last change, or say that it is stale. */
function check(
  { setup, versions }: World,
  subject: 'a' | 'b',
  answer: AttributeAnswer,
  stale: boolean,
): void {
  const age = setup.clock.monotonic() - Number(answer.attributes['askedAt']);
  if (answer.stale !== true) {
    expect(age).toBeLessThan(FRESH_MS);
    expect(answer.attributes['version']).toBe(versions[subject]);
    return;
  }
  expect(stale).toBe(true);
  expect(age).toBeLessThan(FRESH_MS + MAX_STALE_MS);
  expect(answer.freshUntil).toBeLessThanOrEqual(setup.clock.now());
}

async function take(world: World, one: typeof step extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
  const { setup, versions } = world;
  const pending = world.pending();
  switch (one.kind) {
    case 'lookup': {
      const answer = setup.source.lookup(one.id, NEVER, one.stale);
      if (answer instanceof Promise) answer.catch(() => undefined);
      else check(world, one.id, answer, one.stale);
      break;
    }
    case 'answer':
    case 'fail': {
      const question = pending[one.which % Math.max(1, pending.length)];
      if (question) world[one.kind](question);
      break;
    }
    case 'pass':
      setup.clock.advance(one.ms);
      break;
    case 'change':
      versions[one.id] += 1;
      setup.source.invalidate(one.id);
      break;
    case 'miss':
      for (const each of IDS) versions[each] += 1;
      setup.source.invalidateAll();
  }
  await turn();
}

test('whatever happens in whatever order, nothing is fresh that is old or from before a change, and nobody asks twice', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const world = createWorld();
      for (const one of steps) {
        await take(world, one);
        for (const subject of IDS) {
          const current = world
            .pending()
            .filter((question) => question.id === subject)
            .filter((question) => world.versionOf(question) === world.versions[subject]);
          expect(current.length).toBeLessThanOrEqual(1);
          const known = world.setup.source.lastKnown?.(subject);
          if (known) check(world, subject, known, true);
        }
      }
    }),
    { numRuns: 300 },
  );
});
