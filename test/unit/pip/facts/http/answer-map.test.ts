import { describe, expect, test } from 'vitest';
import { type AnswerMap, answerReader } from '../../../../../src/pip/facts/http/answer-map.ts';

const GIVES = ['department', 'level', 'groups'];

function read(json: unknown, map: AnswerMap = {}, gives = GIVES) {
  return answerReader(map, gives)(json);
}

const MAP: AnswerMap = {
  attributes: new Map([['department', '/data/0/org~1unit']]),
  groups: '/data/0/roles',
  observedAt: '/meta/seen',
  found: '/data/0',
};

describe('an answer', () => {
  test('without a map gives its members', () => {
    const json = { department: 'x', level: 3, groups: ['a', 'a'], observed_at: 1_795_000_000, other: 1 };
    expect(read(json)).toEqual({
      status: 'found',
      attributes: { department: 'x', level: 3 },
      groups: ['a'],
      observedAt: 1_795_000_000_000,
    });
  });

  test('with a map gives what its pointers lead to, and the members of what has none', () => {
    const json = {
      data: [{ 'org/unit': 'x', roles: ['r'] }],
      meta: { seen: '2026-11-22T12:00:00Z' },
      level: 2,
    };
    expect(read(json, MAP)).toEqual({
      status: 'found',
      attributes: { department: 'x', level: 2 },
      groups: ['r'],
      observedAt: Date.UTC(2026, 10, 22, 12),
    });
  });

  test('leaves out what it does not have or has as null: missing is never false', () => {
    expect(read({ department: null, groups: null })).toEqual({ status: 'found', attributes: {}, groups: [] });
  });

  test('gives no groups where they are not asked for', () => {
    expect(read({ groups: ['a'] }, {}, ['level'])).toEqual({ status: 'found', attributes: {}, groups: [] });
  });

  test.each([{ data: [] }, { data: [null] }, { data: [false] }])(
    'with %j in place of the subject is absence',
    (json) => {
      expect(read(json, MAP)).toEqual({ status: 'absent', attributes: {}, groups: [] });
    },
  );

  test('is looked at only where pointers lead', () => {
    const json = JSON.parse(
      '{"data":[{"org/unit":"x"}],"uptime":20807520000000001,"__proto__":{"level":1}}',
    ) as unknown;
    expect(read(json, MAP)).toMatchObject({ status: 'found', attributes: { department: 'x' } });
  });

  test.each<[string, unknown, AnswerMap, RegExp]>([
    ['no object', [1], {}, /^is not an object$/],
    ['a scalar', 'secret', MAP, /^is neither an object nor an array$/],
    ['hostile', { x: { __entity: { type: 'User', id: 'root' } } }, {}, /reserved key '__entity'/],
    [
      'hostile where it is read',
      { data: [{ 'org/unit': { __extn: 1 } }] },
      MAP,
      /'__extn' at '\/data\/0\/org~1unit'$/,
    ],
    ['beyond 2^53', { level: 2 ** 60 }, {}, /2\^53/],
    ['a fraction', { level: 0.5 }, {}, /a value at '\/level' that policies cannot hold/],
    ['null within a list', { level: [null] }, {}, /a value at '\/level'/],
    [
      'in bad groups',
      { data: [{ roles: 'secret' }] },
      MAP,
      /array of non-empty strings at '\/data\/0\/roles'$/,
    ],
    ['in empty groups', { groups: [''] }, {}, /at '\/groups'$/],
    ['badly dated', { observed_at: 'secret' }, {}, /at '\/observed_at'$/],
    [
      'an error in place of what holds the subject',
      { errors: ['secret'], data: null },
      MAP,
      /^has nothing at '\/data'$/,
    ],
    [
      'in an odd place of the subject',
      { data: ['secret'] },
      MAP,
      /neither an object nor true or false at '\/data\/0'$/,
    ],
  ])('is refused where it is %s, in words without its values', (_what, json, map, problem) => {
    const reading = read(json, map);
    expect(reading).toEqual({ problem: expect.stringMatching(problem) as string });
    expect(JSON.stringify(reading)).not.toContain('secret');
  });
});
