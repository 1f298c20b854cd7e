import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Waiting, WaitingCalls } from '../../../../src/api/ext-authz/waiting-calls.ts';

class Call implements Waiting<Call> {
  before: Call | undefined;
  after: Call | undefined;
  isWaiting = false;
}

/** All, from the first to the last, and that they know one another. */
function listed(list: WaitingCalls<Call>): Call[] {
  const calls: Call[] = [];
  for (let call = list.first; call; call = call.after) {
    expect(call.before).toBe(calls.at(-1));
    calls.push(call);
  }
  return calls;
}

describe('calls that wait', () => {
  it('are listed as a Set would, whoever leaves', () => {
    const step = fc.record({ leaves: fc.boolean(), which: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new WaitingCalls<Call>();
        const model = new Set<Call>();
        const all: Call[] = [];
        for (const { leaves, which } of steps) {
          const known = all[which % Math.max(all.length, 1)];
          if (leaves && known) expect(list.delete(known)).toBe(model.delete(known));
          else {
            const call = new Call();
            all.push(call);
            list.add(call);
            model.add(call);
          }
          expect(listed(list)).toEqual([...model]);
          expect(all.map((call) => call.isWaiting)).toEqual(all.map((call) => model.has(call)));
        }
      }),
    );
  });

  it('refer to nobody once they left, and may come back', () => {
    const list = new WaitingCalls<Call>();
    const calls = [new Call(), new Call(), new Call()] as const;
    for (const call of calls) list.add(call);
    list.delete(calls[1]);
    expect([calls[1].before, calls[1].after, calls[1].isWaiting]).toEqual([undefined, undefined, false]);
    list.add(calls[1]);
    expect(listed(list)).toEqual([calls[0], calls[2], calls[1]]);
  });
});
