import { beforeAll, describe, expect, test } from 'vitest';

describe('a suite whose hook fails', () => {
  beforeAll(() => {
    throw new Error('the hook fails');
  });
  test('never runs', () => expect(1).toBe(1));
});
