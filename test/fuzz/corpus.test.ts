import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startCoverage } from './engine/coverage.ts';
import { attempt, fuzz } from './engine/engine.ts';
import { readCorpus, readFindings } from './engine/entries.ts';
import { TARGETS } from './targets.ts';

startCoverage();

const MUTATED = 400;

describe.each(Object.keys(TARGETS))('%s', (name) => {
  const make = TARGETS[name];
  if (!make) throw new TypeError(name);

  test('keeps its promise for every input of the corpus and all that was ever found', async () => {
    const target = await make();
    expect(target.name).toBe(name);
    const inputs = [...target.seeds, ...readCorpus(name), ...readFindings(name).map(({ input }) => input)];
    const problems: object[] = [];
    for (const input of inputs) {
      const tried = await attempt(target, input);
      if ('problem' in tried) problems.push({ input: Buffer.from(input).toString('base64'), ...tried });
    }
    expect(problems).toEqual([]);
  });

  test('keeps it for some hundred mutations of them', async () => {
    const target = await make();
    const { findings, coverage } = await fuzz(target, {
      seed: 1,
      runs: target.seeds.length + readCorpus(name).length + MUTATED,
      corpus: readCorpus(name),
      findSlow: false,
    });
    expect(findings).toEqual([]);
    expect(coverage.covered).toBeGreaterThan(0);
    expect(target.covers.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)))).toEqual(
      [],
    );
  });

  test('has inputs that come to different ends', async () => {
    const target = await make();
    const outcomes = new Set<string>();
    for (const input of [...target.seeds, ...readCorpus(name)]) {
      const tried = await attempt(target, input);
      if ('outcome' in tried) outcomes.add(tried.outcome);
    }
    expect(outcomes.size).toBeGreaterThan(1);
  });
});

test('every file of inputs belongs to a target', () => {
  const names = Object.keys(TARGETS);
  const of = (folder: string): string[] => readdirSync(new URL(folder, import.meta.url));
  expect(of('corpus/').filter((file) => !names.includes(file.replace(/\.json$/, '')))).toEqual([]);
  expect(of('findings/').filter((file) => !names.some((name) => file.startsWith(`${name}-`)))).toEqual([]);
});
