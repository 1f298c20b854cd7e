import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Counter } from '../../../../src/audit/query/count.ts';
import { isField } from '../../../../src/audit/query/field-names.ts';
import { hasOperator, parseFilter } from '../../../../src/audit/query/filter.ts';
import { coloured, harmless, rowText } from '../../../../src/audit/query/row.ts';
import { parseTime } from '../../../../src/audit/read/time-range.ts';
import { FULL } from '../../../../src/audit/record/limits.ts';
import type { LogRecord } from '../../../../src/audit/read/decision-record.ts';
import { allowedTrace, recordLine, refusedTrace } from '../trace-fixture.ts';

const RECORD: LogRecord = {
  kind: 'decision',
  decision: 'DENY',
  enforced: true,
  timestamp: '2026-01-01T10:00:00.000Z',
  reason: 'no_permit',
  policies: ['a.one', 'b.two'],
  user: 'demo/alice',
  http_status: 403,
  source_identity: { spiffe_id: 'spiffe://x/ns/payments/sa/api', namespace: 'payments' },
  context: { http: { path: '/a*b' }, deep: [{ x: 1 }, { x: 2 }] },
  pip: [{ source: 'jamf' }, { source: 'directory', stale: true }],
};

const matches = (...expressions: string[]) => parseFilter(expressions).matches(RECORD);

describe('a filter', () => {
  it.each([
    ['user=demo/alice', true],
    ['user=demo', false],
    ['user!=demo/bob', true],
    ['user!=demo/alice', false],
    ['device.id!=x', true],
    ['user~alice', true],
    ['user~demo/*', true],
    ['user~*ali*', true],
    ['user~alice*', false],
    ['user!~bob', true],
    ['context.http.path=/a*b', true],
    ['source_identity.namespace=payments', true],
    ['policies=b.two', true],
    ['policies=c', false],
    ['policies!=b.two', false],
    ['http_status>=403', true],
    ['http_status<403', false],
    ['timestamp>2026-01-01', true],
    ['timestamp<2026-01-01T09:00:00Z', false],
    ['enforced=true', true],
    ['context.deep.x=2', true],
    ['pip.source=directory', true],
    ['pip.stale=true', true],
    ['user', true],
    ['!user', false],
    ['!device', true],
    ['source_identity', true],
    ['source_identity=payments', false],
    ['reason=', false],
  ])('%s is %s', (expression, expected) => {
    expect(matches(expression)).toBe(expected);
  });

  it('asks for all expressions, and for one side of an or', () => {
    expect(matches('decision=DENY', 'user~alice')).toBe(true);
    expect(matches('decision=DENY', 'user~bob')).toBe(false);
    expect(matches('decision=ALLOW', 'or', 'decision=DENY', 'user~alice')).toBe(true);
    expect(matches('decision=ALLOW', 'user~alice', 'or', 'user~bob')).toBe(false);
    expect(matches()).toBe(true);
  });

  it.each([
    ['usr=x', "records have no field 'usr'; did you mean 'user'?"],
    ['source_identity.namespce=x', "did you mean 'source_identity.namespace'?"],
    ['cache.off=x', "did you mean 'cache.of'?"],
    ['http_status>many', 'is no number and no time'],
    ['=x', 'is no filter'],
    ['', 'is no filter'],
    ['!user=x', "'!' goes with a field alone"],
    ['__proto__=x', 'records have no field'],
    ['constructor', 'records have no field'],
  ])('%s is refused: %s', (expression, message) => {
    expect(() => parseFilter([expression])).toThrow(message);
  });

  it('tells every problem at once, and each only once', () => {
    expect(() => parseFilter(['usr=x', 'or', 'reson=y'])).toThrow(/usr=x: .*\n.*reson=y: [^\n]*$/s);
    expect(() => parseFilter(['or', 'user'])).toThrow('must stand between two filters');
    expect(() => parseFilter(Array.from({ length: 101 }, () => 'user'))).toThrow('more than 100');
  });

  it('takes a pattern as the regular expression would, in proportion to the text', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 12 });
    fc.assert(
      fc.property(fc.array(texts, { minLength: 2, maxLength: 5 }), texts, (parts, user) => {
        const regex = new RegExp(`^${parts.map((part) => RegExp.escape(part)).join('.*')}$`, 's');
        expect(parseFilter([`user~${parts.join('*')}`]).matches({ user })).toBe(regex.test(user));
      }),
    );
    const started = performance.now();
    parseFilter([`user~${'*a'.repeat(200)}*b`]).matches({ user: 'a'.repeat(100_000) });
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it('never throws over what records hold', () => {
    const filter = parseFilter(['context.x>1', 'or', 'user~a*b', 'or', 'policies=c', 'or', 'context.a.b.c']);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('context', 'user', 'policies'), fc.jsonValue()), (record) => {
        expect(typeof filter.matches(record)).toBe('boolean');
      }),
    );
  });

  it('knows every field that decisions can have', () => {
    const options = {
      log: 'x',
      engine: 'e',
      acceptsTokens: true,
      cluster: 'c',
      region: 'r',
      httpStatus: () => 200,
    };
    expect(FULL.items).toBeGreaterThan(0);
    for (const trace of [allowedTrace(), refusedTrace(), allowedTrace({ shadowOf: 'x', enforced: false })]) {
      const record = JSON.parse(recordLine(trace, options)) as LogRecord;
      for (const path of pathsIn(record)) expect(isField(path), path).toBe(true);
    }
  });

  it.each([
    ['user=/a', true],
    ['!user', false],
    ['/var/log', false],
    ['./a=b', false],
    ['log', false],
    ['user!~x', true],
  ])('%s has an operator: %s', (word, expected) => {
    expect(hasOperator(word)).toBe(expected);
  });
});

/** Dotted names, as far as they are ours. */
function pathsIn(record: LogRecord, prefix = ''): string[] {
  return Object.entries(record).flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    const items: unknown[] = Array.isArray(value) ? value : [value];
    const members = items.filter((item) => typeof item === 'object' && item !== null) as LogRecord[];
    return [path, ...(name === 'context' ? [] : members.flatMap((item) => pathsIn(item, `${path}.`)))];
  });
}

describe('a time', () => {
  it.each([
    ['2026-11-22', '2026-11-22T00:00:00.000Z'],
    ['2026-11-22T10:00', '2026-11-22T10:00:00.000Z'],
    ['2026-11-22 10:00:01.5', '2026-11-22T10:00:01.500Z'],
    ['2026-11-22T10:00:00+01:00', '2026-11-22T09:00:00.000Z'],
  ])('%s is %s', (text, expected) => {
    expect(new Date(parseTime(text, '--from')).toISOString()).toBe(expected);
  });

  it.each(['yesterday', '2026-13-01', '2026-02-30', '2026-11-22T25:00', '', '1700000000', '22.11.2026'])(
    '%j is refused, naming the option',
    (text) => {
      expect(() => parseTime(text, '--from')).toThrow(/--from: '.*' is no time/);
    },
  );
});

describe('a row', () => {
  it('is one line that cannot steer the terminal', () => {
    const row = rowText({ ...RECORD, path: '/a\n\u001B[2J\u202Eb', method: 'GET' });
    expect(row).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(row).toContain('GET /a\uFFFD\uFFFD[2J\uFFFDb');
    expect(harmless('\u2028')).toBe('\uFFFD');
  });

  it('has the colour of the decision where colours are welcome', () => {
    const colour = (changes: LogRecord) => rowText({ ...RECORD, ...changes }, { colours: true }).slice(0, 5);
    expect(colour({ decision: 'ALLOW' })).toBe(coloured('', 'green').slice(0, 5));
    expect(colour({})).toBe(coloured('', 'red').slice(0, 5));
    expect(colour({ enforced: false })).toBe(coloured('', 'yellow').slice(0, 5));
  });

  it('tells action and resource where a binding made the question the application’s own', () => {
    const own = {
      ...RECORD,
      binding: 'b',
      action: 'Clinic::Action::"view"',
      resource: 'Clinic::Patient::"7"',
    };
    expect(rowText(own)).toContain('Clinic::Action::"view" Clinic::Patient::"7"');
  });
});

describe('counts', () => {
  it('count each item of a list, and what has no value, most frequent first', () => {
    const counter = new Counter('policies');
    for (const policies of [['a', 'b'], ['b', 'b'], []]) counter.add({ policies });
    counter.add({});
    expect(counter.counts(10)).toEqual([
      { value: undefined, count: 2 },
      { value: 'b', count: 2 },
      { value: 'a', count: 1 },
    ]);
    expect(counter.counts(1)).toHaveLength(1);
  });
});
