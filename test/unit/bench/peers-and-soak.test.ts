import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { requestFrames } from '../../../bench/load/h2-connection.ts';
import type { Measured } from '../../../bench/load/scenario.ts';
import { cerbos, opa } from '../../../bench/peers/install.ts';
import { cerbosCode, cerbosFrames } from '../../../bench/peers/cerbos-requests.ts';
import { opaCode } from '../../../bench/peers/peers.ts';
import { ratiosTo } from '../../../bench/peers/report.ts';
import { requestMaker } from '../../../bench/load/requests.ts';
import { TOKEN_EVERY, USER_EVERY, distinct } from '../../../bench/soak/distinct.ts';
import { growthOf } from '../../../bench/soak/growth.ts';
import { PLACEHOLDER, numbered } from '../../../bench/soak/numbered.ts';
import { verdict } from '../../../bench/soak/report.ts';

/** Cerbos' answer in its own field numbers: results = 2, actions = 2. */
const { root } = protobuf.parse(
  'syntax = "proto3"; message R { repeated E results = 2; } message E { map<string, int32> actions = 2; }',
);

function cerbosAnswer(...effects: readonly number[]): Buffer {
  const type = root.lookupType('R');
  const results = effects.map((effect, n) => ({ actions: { [`a${n}`]: effect } }));
  const message = Buffer.from(type.encode(type.fromObject({ results })).finish());
  return Buffer.concat([Buffer.alloc(5), message]);
}

describe('the answers of peers', () => {
  it('are allowed by Cerbos only where every action is', () => {
    const codes = [[1], [2], [1, 2], [1, 1], [0]].map((effects) => cerbosCode(cerbosAnswer(...effects)));
    expect(codes).toEqual([0, 7, 7, 0, 7]);
  });

  it('never count as allowed where there is no result', () => {
    expect(cerbosCode(cerbosAnswer())).toBeUndefined();
    expect([cerbosCode(Buffer.alloc(3)), cerbosCode(Buffer.from('0000000000ff', 'hex'))]).toEqual([
      undefined,
      undefined,
    ]);
    expect([
      opaCode(Buffer.alloc(0)),
      opaCode(Buffer.from('{"result":false}')),
      opaCode(Buffer.from('{}')),
    ]).toEqual([undefined, 7, 7]);
    expect(opaCode(Buffer.from('{"decision_id":"x","result":true}'))).toBe(0);
  });

  it('ask Cerbos for the action on the path, with the token', () => {
    const asked = {
      id: 'alice',
      role: 'user',
      kind: 'reports-api',
      action: 'GET',
      path: '/p',
      token: 'a.b.c',
    };
    const text = cerbosFrames({
      ...asked,
      attr: { groups: ['Finance'], n: 1, revoked: false },
    }).bytes.toString('latin1');
    for (const part of ['CheckResources', 'reports-api', 'GET', '/p', 'a.b.c', 'Finance'])
      expect(text).toContain(part);
  });

  it('come down to our throughput over theirs', () => {
    const measured = (throughput: number): Measured => ({
      throughput,
      throughputs: [],
      cpuUs: 1,
      latency: { p50: 1, p90: 1, p99: 1, p999: 1 },
      curve: [],
      allowed: 1,
      denied: 0,
      failed: 0,
      generatorBusy: 0,
    });
    const results = [
      { name: 'pdp', measured: measured(600) },
      { name: 'cerbos', measured: measured(100) },
    ];
    expect(ratiosTo({ name: '', description: '', rate: 1, othersBusy: 0, results })).toEqual({ cerbos: 6 });
  });

  it('say which file is missing where one was named', () => {
    process.env['PDP_BENCH_CERBOS'] = '/nowhere/cerbos';
    process.env['PDP_BENCH_OPA'] = '/nowhere/opa';
    try {
      expect(cerbos('/nowhere')).toEqual({ missing: 'PDP_BENCH_CERBOS names no file' });
      expect(opa('/nowhere')).toEqual({ missing: 'PDP_BENCH_OPA names no file' });
    } finally {
      delete process.env['PDP_BENCH_CERBOS'];
      delete process.env['PDP_BENCH_OPA'];
    }
  });
});

describe('the requests of a soak', () => {
  const template = requestFrames('/x', Buffer.from(`path ${PLACEHOLDER} and ${PLACEHOLDER}`));

  it('are told apart by their number, wherever it stands', () => {
    const requestAt = numbered(template);
    expect(requestAt(1_234_567).bytes.toString('latin1')).toContain('path 0001234567 and 0001234567');
    expect(requestAt(0).bytes).toEqual(template.bytes);
  });

  it('are all different', () => {
    const requestAt = numbered(template);
    const number = fc.integer({ min: 0, max: 9_999_999_999 });
    fc.assert(
      fc.property(number, number, (a, b) => {
        const first = requestAt(a).bytes.toString('latin1');
        return (first === requestAt(b).bytes.toString('latin1')) === (a === b);
      }),
    );
  });

  it('never repeat, come from users and workloads, and bring a new token now and then', () => {
    const { next, made } = distinct(requestMaker());
    const texts = Array.from({ length: 2 * TOKEN_EVERY }, () => next().bytes.toString('latin1'));
    expect(new Set(texts).size).toBe(made());
    const tokens = texts.map((text) => /Bearer ([\w.-]+)/.exec(text)?.[1]).filter(Boolean);
    expect([tokens.length, new Set(tokens).size]).toEqual([(2 * TOKEN_EVERY) / USER_EVERY, 2]);
  });

  it('need a placeholder', () => {
    expect(() => numbered(requestFrames('/x', Buffer.from('none')))).toThrow('needs a placeholder');
  });
});

describe('the growth of a soak', () => {
  it('is one where memory only breathes, whatever filled before', () => {
    expect(growthOf([10, 50, 90, 100, 80, 100, 90, 100, 70])).toBe(1);
  });

  it('shows what grows to the end', () => {
    expect(growthOf([1, 2, 3, 4, 5, 6, 7, 8, 9])).toBe(1.5);
  });

  it('is not told from too few samples, nor called reached after too few requests', () => {
    expect(growthOf([1, 2, 3, 4, 5, 6, 7, 8])).toBeUndefined();
    expect(verdict(undefined, 1e7)).toContain('too few samples');
    expect(verdict(1, 1e6)).not.toContain('reached');
    expect([verdict(1.1, 1e7), verdict(1.11, 1e7)].map((text) => text.includes('not reached'))).toEqual([
      false,
      true,
    ]);
  });
});
