import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import type { Rule } from '../../../../src/pip/revocation/rule.ts';
import { openShutOffFile, readShutOffs } from '../../../../src/pip/revocation/shut-off-file.ts';
import { eventually } from '../../../support/eventually.ts';
import { START, memoryLog } from '../fixture.ts';

const WEB = 'spiffe://prod.example.com/ns/shop/sa/web';
const GOOD = `
- kind: workload
  id: ${WEB}
  reason: INC-7, taken over
- {kind: email, id: idp/Alice@Example.com, reason: left, until: 2026-12-01T00:00:00Z}
`;

test('a list of subjects is read, each with its reason and its end', () => {
  expect(readShutOffs('f', GOOD, START)).toEqual([
    {
      key: 'file|1',
      effect: 'off',
      subjects: [{ kind: 'workload', id: WEB }],
      at: START,
      endsAt: Number.POSITIVE_INFINITY,
      source: 'file',
      reason: 'INC-7, taken over',
    },
    {
      key: 'file|2',
      effect: 'off',
      subjects: [{ kind: 'email', id: 'idp/alice@example.com' }],
      at: START,
      until: Date.UTC(2026, 11, 1),
      endsAt: Date.UTC(2026, 11, 1),
      source: 'file',
      reason: 'left',
    },
  ]);
  expect(readShutOffs('f', '', START)).toEqual([]);
  expect(readShutOffs('f', '[{"kind":"user","id":"idp/a","reason":"x"}]', START)).toHaveLength(1);
});

test.each<[string, string, RegExp]>([
  ['no list', 'kind: user', /is not a list/],
  ['no YAML', '- {', /is not YAML/],
  ['an unknown tag', '!w []', /is not YAML/],
  ['aliases', '- &a {kind: user, id: idp/a, reason: x}\n- *a', /is not plain YAML/],
  ['an entry that is none', '- user', /entry 1 is not an object/],
  ['no reason', '- {kind: user, id: idp/a}', /entry 1 needs a reason/],
  ['an empty reason', '- {kind: user, id: idp/a, reason: " "}', /entry 1 needs a reason/],
  ['another kind', '- {kind: group, id: idp/a, reason: x}', /entry 1 needs a 'kind' among user, email/],
  ['no id', '- {kind: user, reason: x}', /needs an 'id'/],
  ['an id without issuer', '- {kind: user, id: alice, reason: x}', /is not <issuer name>\/<sub>/],
  ['a workload that is none', '- {kind: workload, id: web, reason: x}', /no SPIFFE ID/],
  ['an unknown key', '- {kind: user, id: idp/a, reason: x, for: 8h}', /unknown key 'for'/],
  ['an end that is no time', '- {kind: user, id: idp/a, reason: x, until: tomorrow}', /'until'/],
  ['a day that there is not', '- {kind: user, id: idp/a, reason: x, until: 2026-13-01T00:00:00Z}', /'until'/],
  ['a reserved key', '- {__proto__: {}, kind: user, id: idp/a, reason: x}', /reserved|unknown key/],
  ['too many', '- a\n'.repeat(10_001), /more than 10000/],
])('%s is refused in words', (_what, text, words) => {
  expect(() => readShutOffs('f', text, START)).toThrow(words);
});

test('every problem is told, with its entry', () => {
  const text = '- {kind: user, id: idp/a, reason: x}\n- {kind: user}\n- 7\n';
  expect(() => readShutOffs('f', text, START)).toThrow(/entry 2[^]*entry 3/);
});

test('whatever is in the file, it is read or refused', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        readShutOffs('f', text, START);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
  );
});

test('a changed file is in force within a second or so; a bad or a missing one leaves what was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-shut-off-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }));
  const file = join(folder, 'shut-off.yaml');
  const log = memoryLog();
  let rules: readonly Rule[] = [];
  const options = { file, log, onRules: (next: readonly Rule[]) => void (rules = next) };
  await expect(openShutOffFile(options)).rejects.toThrow(InputError);
  writeFileSync(file, GOOD);
  using opened = await openShutOffFile(options);
  expect(opened).toBeDefined();
  expect(rules).toHaveLength(2);
  const errors = (count: number) =>
    eventually('an error is told', () =>
      log.entries.filter(({ level }) => level === 'error').length === count ? true : undefined,
    );
  writeFileSync(file, '- {kind: user}');
  await errors(1);
  expect(rules).toHaveLength(2);
  unlinkSync(file);
  await errors(2);
  expect(rules).toHaveLength(2);
  writeFileSync(file, '[]');
  await eventually('it is empty', () => (rules.length === 0 ? true : undefined));
});
