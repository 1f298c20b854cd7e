import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeliverySize } from '../../../../src/audit/sinks/delivery-size.ts';

describe('how much goes out at once', () => {
  test('comes to what the receiver takes, in few tries, and back to what is configured', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 10_000 }), (most, takes) => {
        const size = new DeliverySize(most);
        let tries = 0;
        while (size.lines > takes) {
          expect(size.tooLarge(size.lines)).toBe(true);
          tries += 1;
        }
        expect(size.lines).toBeGreaterThan(Math.min(most, takes) / 2 - 1);
        expect(tries).toBeLessThanOrEqual(14);
        for (let deliveries = 0; deliveries < 14 * 8; deliveries++) size.delivered();
        expect(size.lines).toBe(most);
      }),
    );
  });

  test('says that a single line cannot be halved', () => {
    const size = new DeliverySize(8);
    expect([size.tooLarge(1), size.lines]).toEqual([false, 1]);
  });
});
