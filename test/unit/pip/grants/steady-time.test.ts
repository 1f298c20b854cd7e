import { expect, test } from 'vitest';
import { createSteadyTime } from '../../../../src/pip/grants/steady-time.ts';
import { START } from '../fixture.ts';
import { settableClock } from './fixture.ts';

test('steady time follows a clock that runs', () => {
  const clock = settableClock();
  const now = createSteadyTime(clock);
  expect(now()).toBe(START);
  clock.advance(1500);
  expect(now()).toBe(START + 1500);
});

test('steady time goes on where the clock is set back, and is caught up with', () => {
  const clock = settableClock();
  const now = createSteadyTime(clock);
  clock.set(-10_000);
  expect(now()).toBe(START);
  clock.advance(4000);
  expect(now()).toBe(START + 4000);
  clock.set(20_000);
  expect(now()).toBe(START + 14_000);
  expect(now()).toBe(START + 14_000);
});

test('steady time does not lose the parts of milliseconds that pass between its readings', () => {
  let monotonic = 0;
  const now = createSteadyTime({ now: () => START, monotonic: () => monotonic });
  for (let reading = 0; reading < 1000; reading += 1) {
    monotonic += 0.5;
    now();
  }
  expect(now()).toBe(START + 500);
});
