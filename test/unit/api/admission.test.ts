import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Admission, type AdmissionRules } from '../../../src/api/admission.ts';

const RULES: AdmissionRules = { targetMs: 5, intervalMs: 20 };

/** An event loop whose turns are made by the test. */
class Loop {
  now = 0;
  idle = 0;
  #after: (() => void)[] = [];
  readonly admission: Admission;

  constructor(rules: AdmissionRules = RULES) {
    const turns = { idleMs: () => this.idle, afterTurn: (run: () => void) => void this.#after.push(run) };
    this.admission = new Admission(rules, { monotonic: () => this.now }, turns);
  }

  /** A turn in which so many calls are begun, and which then takes so long; gives what became of them. */
  turn(calls: number, ms: number): boolean[] {
    const admitted = Array.from({ length: calls }, () => this.admission.admits());
    this.now += ms;
    for (const run of this.#after.splice(0)) run();
    return admitted;
  }

  rest(ms: number): void {
    this.now += ms;
    this.idle += ms;
  }
}

const all = (admitted: readonly boolean[]) => admitted.every(Boolean);
const shareOf = (admitted: readonly boolean[]) => admitted.filter(Boolean).length / admitted.length;

describe('everything is admitted', () => {
  test('while the loop rests for a tenth of the time, however long each turn takes', () => {
    const loop = new Loop();
    for (let n = 0; n < 100; n++) {
      expect(all(loop.turn(10, 50))).toBe(true);
      loop.rest(6);
    }
  });

  test('where each call comes when the one before is answered, however long that takes', () => {
    const loop = new Loop();
    for (let n = 0; n < 100; n++) expect(all(loop.turn(1, 50))).toBe(true);
  });

  test('while the wait is within the target, without any rest', () => {
    const loop = new Loop();
    for (let n = 0; n < 100; n++) expect(all(loop.turn(10, 5))).toBe(true);
  });

  test('while the wait was not too long for the whole interval', () => {
    const loop = new Loop();
    expect(all([...loop.turn(10, 10), ...loop.turn(10, 9), ...loop.turn(10, 10)])).toBe(true);
    loop.turn(10, 1);
    expect(all([...loop.turn(10, 10), ...loop.turn(10, 9), ...loop.turn(10, 10)])).toBe(true);
  });

  test('after a stall whose backlog shrinks, however long it was', () => {
    const loop = new Loop();
    for (let ms = 2000; ms > 0.1; ms /= 2) expect(all(loop.turn(100, ms))).toBe(true);
  });

  test('to begin with, whatever the clock says', () => {
    const loop = new Loop();
    loop.now = 1e9;
    expect(all(loop.turn(1000, 1))).toBe(true);
    expect(loop.admission.waitedMs).toBe(0);
  });
});

/** Waits of `ms` for longer than the interval. */
function overloaded(loop: Loop, ms: number): void {
  for (let n = 0; n < 3 + RULES.intervalMs / ms; n++) loop.turn(2, ms);
}

describe('once calls have waited too long for an interval', () => {
  test.each([
    [5.5, 0.95],
    [10, 0.5],
    [14, 0.1],
    [15, 1 / 64],
    [1000, 1 / 64],
  ])('of %d ms each, a share of %d is admitted', (ms, share) => {
    const loop = new Loop();
    overloaded(loop, ms);
    expect(loop.admission.isShedding).toBe(true);
    expect(loop.admission.waitedMs).toBeCloseTo(ms);
    expect(shareOf(loop.turn(10_000, ms))).toBeCloseTo(share, 2);
  });

  test('the share is the same for each of several connections, whatever their order', () => {
    const loop = new Loop();
    overloaded(loop, 10);
    const admitted = loop.turn(3000, 10);
    for (const from of [0, 1000, 2000])
      expect(shareOf(admitted.slice(from, from + 1000))).toBeCloseTo(0.5, 2);
  });

  test('all are admitted as soon as nothing waits any more', () => {
    const loop = new Loop();
    overloaded(loop, 50);
    loop.rest(6);
    expect(all(loop.turn(100, 1))).toBe(true);
  });

  test('the next long wait sheds at once, until there was none for an interval', () => {
    const loop = new Loop();
    overloaded(loop, 15);
    loop.turn(2, 1);
    loop.turn(2, 15);
    expect(shareOf(loop.turn(640, 1))).toBeLessThan(0.1);
    for (let n = 0; n < RULES.intervalMs + 1; n++) loop.turn(1, 1);
    expect(loop.admission.isShedding).toBe(false);
    loop.turn(2, 15);
    expect(all(loop.turn(640, 15))).toBe(true);
  });

  test('a caller that sends all it may and waits for all the answers is no rest', () => {
    const loop = new Loop();
    for (let n = 0; n < 5; n++) {
      loop.turn(1000, 50);
      loop.rest(1);
    }
    expect(shareOf(loop.turn(1000, 50))).toBeLessThan(0.1);
  });

  test('it is over an interval later also where no call comes to show it', () => {
    const loop = new Loop();
    overloaded(loop, 50);
    loop.rest(RULES.intervalMs + 100);
    expect(loop.admission.isShedding).toBe(false);
  });
});

/** A server that is asked at a constant rate: what comes during a turn is begun in the next one. */
function serve(loop: Loop, costs: { answer: number; shed: number }, rate: number, ms: number) {
  const end = loop.now + ms;
  const seen: { waited: number; admitted: boolean[] }[] = [];
  let [due, turnBegan] = [loop.now, loop.now];
  while (loop.now < end) {
    const calls = Math.floor((loop.now - due) * rate);
    due += calls / rate;
    if (calls === 0) {
      loop.rest(1 / rate);
      continue;
    }
    const waited = loop.now - turnBegan;
    turnBegan = loop.now;
    const admitted = loop.turn(calls, 0);
    const taken = admitted.filter(Boolean).length;
    loop.now += taken * costs.answer + (calls - taken) * costs.shed;
    seen.push({ waited, admitted });
  }
  return seen;
}

const server = fc
  .record({
    answer: fc.double({ min: 0.02, max: 1, noNaN: true }),
    cheaper: fc.double({ min: 4, max: 30, noNaN: true }),
    target: fc.double({ min: 2, max: 10, noNaN: true }),
  })
  .map(({ answer, cheaper, target }) => ({ answer, shed: answer / cheaper, target }));

describe('a server for which shedding is cheap enough', () => {
  test('that is asked for twice what it can do keeps the wait within five targets and a few answers, and goes on answering most of what it can', () => {
    fc.assert(
      fc.property(server, ({ answer, shed, target }) => {
        const loop = new Loop({ targetMs: target, intervalMs: 20 });
        serve(loop, { answer, shed }, 2 / answer, 500);
        const seen = serve(loop, { answer, shed }, 2 / answer, 2000);
        const worst = Math.max(...seen.map(({ waited }) => waited));
        expect(worst).toBeLessThan(5 * target + 8 * answer);
        const admitted = seen.flatMap((turn) => turn.admitted);
        const possible = (answer / 2 - shed) / (answer - shed);
        expect(shareOf(admitted)).toBeGreaterThan(0.7 * possible);
      }),
      { numRuns: 100 },
    );
  });

  test('that is asked for less than it can do sheds nothing', () => {
    fc.assert(
      fc.property(
        server,
        fc.double({ min: 0.05, max: 0.9, noNaN: true }),
        ({ answer, shed, target }, load) => {
          const loop = new Loop({ targetMs: target, intervalMs: 20 });
          const seen = serve(loop, { answer, shed }, load / answer, 500);
          expect(seen.every((turn) => all(turn.admitted))).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('admits everything again within a fifth of a second of the end of an overload', () => {
    fc.assert(
      fc.property(server, ({ answer, shed, target }) => {
        const loop = new Loop({ targetMs: target, intervalMs: 20 });
        serve(loop, { answer, shed }, 2 / answer, 500);
        serve(loop, { answer, shed }, 0.5 / answer, 200);
        const seen = serve(loop, { answer, shed }, 0.5 / answer, 500);
        expect(seen.every((turn) => all(turn.admitted))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
