import { describe, expect, test } from 'vitest';
import { startCoverage } from './engine/coverage.ts';
import { type FuzzOptions, fuzz } from './engine/engine.ts';
import { minimise } from './engine/minimise.ts';
import { mutate } from './engine/mutate.ts';
import { mutateDer } from './engine/mutate-der.ts';
import { mutateMessage } from './engine/mutate-message.ts';
import { createRandom } from './engine/random.ts';
import { type FuzzTarget, latin1 } from './engine/target.ts';
import { plantedParser } from './planted.ts';
import { EXT_AUTHZ_TYPES, checkRequestBytes } from '../support/requests.ts';
import { derProblem } from '../../src/pip/spiffe/x509/der-shape.ts';
import { createHierarchy } from './targets/certificates.ts';

startCoverage();

const RUNS = 20_000;
const SEED: FuzzOptions = { seed: 1, runs: RUNS, findSlow: false };

/** The same for all inputs that do not fail: only coverage tells them apart. */
function planted(covers: readonly string[]): FuzzTarget {
  return {
    name: 'planted',
    promise: 'Nothing is thrown.',
    covers,
    seeds: [Buffer.from('????????')],
    dictionary: [],
    maxBytes: 16,
    run(input) {
      plantedParser(input);
      return 'read';
    },
  };
}

describe('the search', () => {
  test('finds a fault behind five conditions, one in 32 each, and makes its input small', async () => {
    const { findings, executions } = await fuzz(planted(['test/fuzz/planted.ts']), SEED);
    expect(findings.map(({ problem }) => problem)).toEqual(['RangeError: the planted fault']);
    expect(findings[0]?.input).toHaveLength(5);
    expect(executions).toBeLessThanOrEqual(RUNS + 16);
  });

  test('does not find it without coverage: it is guided by it', async () => {
    const { findings, corpus } = await fuzz(planted([]), SEED);
    expect(findings).toEqual([]);
    expect(corpus).toHaveLength(1);
  });

  test('takes the same way for the same seed', () => {
    const way = (seed: number): string[] => {
      const random = createRandom(seed);
      const material = {
        random,
        dictionary: [Buffer.from('word')],
        other: () => Buffer.from('other'),
        maxBytes: 64,
      };
      return Array.from({ length: 50 }, () => latin1(mutate(Buffer.from('some text'), material)));
    };
    expect(way(1)).toEqual(way(1));
    expect(way(1)).not.toEqual(way(2));
  });

  test('finds an input that takes far longer than others', async () => {
    const target: FuzzTarget = {
      ...planted([]),
      seeds: [Buffer.from('a')],
      dictionary: ['slow'],
      run(input) {
        const until = latin1(input).includes('slow') ? performance.now() + 30 : 0;
        while (performance.now() < until);
        return 'read';
      },
    };
    const { findings } = await fuzz(target, { seed: 1, runs: 300 });
    expect(findings.map(({ problem }) => problem)).toEqual([
      expect.stringMatching(/^takes \d+ ms where the median/),
    ]);
    expect(latin1(findings[0]?.input ?? Buffer.of())).toBe('slow');
  });
});

test('an input is made as small and as plain as what is found allows', async () => {
  const small = await minimise(Buffer.from('some X text and Y more'), (input) =>
    Promise.resolve(/X.*Y/.test(latin1(input))),
  );
  expect(latin1(small)).toBe('XY');
});

describe('mutations that keep to a format', () => {
  const random = createRandom(1);
  const share = (count: number, isRight: () => boolean): number =>
    Array.from({ length: count }, isRight).filter(Boolean).length / count;

  test('leave DER well-formed as a rule', () => {
    const [leaf = Buffer.of()] = createHierarchy().chains[0] ?? [];
    expect(share(300, () => derProblem(mutateDer(leaf, random)) === undefined)).toBeGreaterThan(0.4);
  });

  test('leave messages readable as a rule', () => {
    const message = checkRequestBytes();
    const isReadable = (): boolean => {
      try {
        EXT_AUTHZ_TYPES.CheckRequest.decode(mutateMessage(message, random));
        return true;
      } catch {
        return false;
      }
    };
    expect(share(300, isReadable)).toBeGreaterThan(0.4);
  });
});
