import { describe, expect, test } from 'vitest';
import { createAskedIds } from '../../../../src/pip/jwks/asked-ids.ts';

describe('the ids that tokens name', () => {
  test('come out by how often they were asked for, and every second time by lot, each asking a ticket', () => {
    let lot = 0;
    const asked = createAskedIds(() => lot);
    for (const [id, count] of Object.entries({ rare: 1, often: 5, most: 9, seldom: 2 }))
      for (let at = 0; at < count; at++) asked.add(id);
    expect(asked.take()).toBe('most');
    lot = 0.999;
    // The last to come is the first of the tickets, so that the last ticket is the oldest.
    expect(asked.take()).toBe('rare');
    expect(asked.take()).toBe('often');
    lot = 0;
    expect(asked.take()).toBe('seldom');
    expect([asked.take(), asked.size]).toEqual([undefined, 0]);
  });

  test('give everyone a turn before long: what is asked for once, beside many that are asked for always', () => {
    let lot = 0;
    // Over all tickets, evenly: the golden ratio.
    const asked = createAskedIds(() => (lot = (lot + 0.618_033_988_75) % 1));
    let turns = 0;
    for (let taken: string | undefined; taken !== 'wanted'; turns++) {
      for (let id = 0; id < 200; id++) for (let count = 0; count < 3; count++) asked.add(`false-${id}`);
      asked.add('wanted');
      taken = asked.take();
      expect(turns).toBeLessThan(5_000);
    }
  });

  test('are 256 at most, those that were asked for last', () => {
    const asked = createAskedIds();
    for (let id = 0; id < 1_000; id++) asked.add(`id-${id}`);
    expect(asked.size).toBe(256);
    for (let id = 1_000; id < 1_255; id++) asked.add(`id-${id}`);
    expect(asked.size).toBe(256);
  });
});
