import { describe, expect, test } from 'vitest';
import { createGeneratedKeys } from '../../../../src/api/onward/generated-keys.ts';

const START = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const keys = () =>
  createGeneratedKeys({
    algorithm: 'EdDSA',
    now: START,
    rotateMs: 24 * HOUR,
    publishAheadMs: 5 * MINUTE,
    tokenMs: 30_000,
  });

describe('keys made in memory', () => {
  test('sign from the start', () => {
    const made = keys();
    expect(made.published(START).map(({ kid }) => kid)).toEqual([made.signer(START)?.jwk.kid]);
  });

  test('are published before they sign, and until their tokens and the key sets that were fetched for them have gone', () => {
    const made = keys();
    const first = made.signer(START)?.jwk.kid;
    const kids = (at: number) => made.published(START + at).map(({ kid }) => kid);
    const signer = (at: number) => made.signer(START + at)?.jwk.kid;
    expect(kids(24 * HOUR - 5 * MINUTE - 1)).toEqual([first]);
    const [, second] = kids(24 * HOUR - 5 * MINUTE);
    expect(second).toBeDefined();
    expect(signer(24 * HOUR - 1)).toBe(first);
    expect(signer(24 * HOUR)).toBe(second);
    expect(kids(24 * HOUR + 5 * MINUTE + 29_999)).toEqual([first, second]);
    expect(kids(24 * HOUR + 5 * MINUTE + 30_000)).toEqual([second]);
    expect(signer(47 * HOUR)).toBe(second);
    expect(kids(48 * HOUR - MINUTE)).toHaveLength(2);
    expect(signer(48 * HOUR + 4 * MINUTE)).not.toBe(second);
  });

  test('that nobody asked for in time are published all the same before they sign', () => {
    const made = keys();
    const first = made.signer(START)?.jwk.kid;
    const late = START + 100 * HOUR;
    expect(made.signer(late)?.jwk.kid).toBe(first);
    expect(made.published(late)).toHaveLength(2);
    expect(made.signer(late + 5 * MINUTE - 1)?.jwk.kid).toBe(first);
    expect(made.signer(late + 5 * MINUTE)?.jwk.kid).not.toBe(first);
  });

  test('sign on when the clock goes back', () => {
    const made = keys();
    expect(made.signer(START - HOUR)?.jwk.kid).toBe(made.published(START)[0]?.kid);
  });

  test('are few, however long the process lives', () => {
    const made = keys();
    for (let at = START; at < START + 2000 * HOUR; at += HOUR) {
      expect(made.published(at).length).toBeLessThanOrEqual(3);
      expect(made.signer(at)).toBeDefined();
    }
  });
});
