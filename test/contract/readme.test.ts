import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { compileSnapshot } from '../../src/pdp/compile-snapshot.ts';
import { readPolicyTexts } from '../../src/pdp/policy-source.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const README = readFileSync(at('README.md'), 'utf8');

test('the README shows the digest and the number of the policies that npm start serves', () => {
  const { policies } = parse(readFileSync(at('deploy/local/pdp.yaml'), 'utf8')) as {
    policies: { sets: string[] };
  };
  const folders = policies.sets.map((set) => at(`deploy/local/${set}`));
  const { snapshot } = compileSnapshot(readPolicyTexts(folders), 0);
  expect(README).toContain(`policies  ${snapshot.policyIds.length}, ${snapshot.digest.slice(0, 19)}…`);
  expect(README).toContain(`"snapshot":"${snapshot.digest.slice(0, 15)}…"`);
});

test('the README names every command', () => {
  const inTable = README.split('\n').filter((line) => line.startsWith('| `bin/pdp '));
  for (const { name } of commands) {
    const words = name.split(' ');
    const verb = words.at(-1) ?? '';
    const isNamed = inTable.some(
      (line) => line.includes(`bin/pdp ${words[0] ?? ''}`) && new RegExp(`\\b${verb}\\b`).test(line),
    );
    expect([name, isNamed]).toEqual([name, true]);
  }
});

test('the README is short, and every file that it links to is there', () => {
  expect(README.split('\n').length).toBeLessThanOrEqual(200);
  const links = [...README.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path = '']) => path);
  expect(links.length).toBeGreaterThan(30);
  expect(links.filter((path) => !existsSync(at(path)))).toEqual([]);
});
