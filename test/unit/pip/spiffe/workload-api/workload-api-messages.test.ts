import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  readJwtBundles,
  readX509Bundles,
} from '../../../../../src/pip/spiffe/workload-api/workload-api-bundles.ts';
import { readSvids } from '../../../../../src/pip/spiffe/workload-api/workload-api-svids.ts';

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json().map((text) => Buffer.from(text)),
  fc
    .uint8Array({ maxLength: 100 })
    .map((content) => Buffer.concat([Buffer.of(0x30, content.length), content])),
);
const id = fc.oneof(
  fc.string(),
  fc.constantFrom('spiffe://a.test', 'spiffe://a.test/x', 'spiffe://', 'a.test', '__proto__'),
);
const bundles = fc.dictionary(id, bytes);

describe('a Workload API message of arbitrary bytes', () => {
  test('never makes the readers of bundles throw, and trusts nobody', () => {
    fc.assert(
      fc.property(bundles, (map) => {
        const note = (problem: string): void => expect(problem).toMatch(/^(has|is|holds) /);
        for (const authorities of readX509Bundles(map, note).values()) expect(authorities).toEqual([]);
        for (const authorities of readJwtBundles(map, note).values()) expect(authorities).toEqual([]);
      }),
    );
  });

  test('never makes the reader of SVIDs throw, and is discarded', () => {
    const buffer = bytes.map((content) => Buffer.from(content));
    const svid = fc.record({
      spiffe_id: id,
      x509_svid: buffer,
      x509_svid_key: buffer,
      bundle: buffer,
      hint: fc.string(),
    });
    fc.assert(
      fc.property(fc.array(svid, { maxLength: 3 }), (svids) => {
        const message = { svids, crl: [], federated_bundles: {} };
        const reading = readSvids(message, { hint: undefined, now: 0, note: () => undefined });
        expect(reading).toHaveProperty('problem');
      }),
    );
  });

  test('with more SVIDs or bundles than anybody has is bounded', () => {
    const svid = {
      spiffe_id: 'x',
      x509_svid: Buffer.of(1),
      x509_svid_key: Buffer.of(1),
      bundle: Buffer.of(1),
      hint: '',
    };
    const message = { svids: Array.from({ length: 101 }, () => svid), crl: [], federated_bundles: {} };
    const options = { hint: undefined, now: 0, note: () => undefined };
    expect(readSvids(message, options)).toEqual({ problem: 'has more than 100 SVIDs' });
    const many = Array.from(
      { length: 1_001 },
      (_, index) => [`spiffe://td-${index}.test`, Buffer.alloc(0)] as const,
    );
    const notes: string[] = [];
    expect(readX509Bundles(Object.fromEntries(many), (problem) => notes.push(problem)).size).toBe(1_000);
    expect(notes).toEqual(['has more than 1000 bundles; the rest is not used']);
  });
});
