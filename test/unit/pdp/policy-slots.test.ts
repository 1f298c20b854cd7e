import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PdpError } from '../../../src/pdp/errors.ts';
import { type Activation, PolicySlots, type SlotName } from '../../../src/pdp/policy-slots.ts';
import type { PolicySnapshot } from '../../../src/pdp/policy-snapshot.ts';
import type { PolicySource } from '../../../src/pdp/ports.ts';
import { snapshotOf } from '../../support/snapshot.ts';

const made = new Map<string, PolicySnapshot>();

/** The snapshot of one policy; made once. */
function snapshot(id: string): PolicySnapshot {
  const known = made.get(id) ?? snapshotOf(`@id("${id}") permit(principal, action, resource);`);
  made.set(id, known);
  return known;
}

/** A source that holds what it is told to hold. */
class HeldSource implements PolicySource {
  held: PolicySnapshot | undefined;
  refusal: string | undefined;
  looks = 0;

  constructor(id: string | undefined) {
    this.held = id === undefined ? undefined : snapshot(id);
  }

  current(): PolicySnapshot | undefined {
    return this.held;
  }
  reloadIfChanged(): Promise<void> {
    this.looks += 1;
    return Promise.resolve();
  }
  describe(): Readonly<Record<string, string | number>> {
    return { source: 'held' };
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

function tempStateFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pdp-slots-'));
  onTestFinished(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
  });
  return join(folder, 'made', 'state.json');
}

/** Ids of what the sources hold; `null`: nothing yet. `candidate: false`: no such slot. */
interface Setup {
  readonly sets?: string | null;
  readonly candidate?: string | null | false;
  readonly stateFile?: string;
}

function open({ sets = 'a', candidate = 'b', stateFile = tempStateFile() }: Setup = {}) {
  const activations: Activation[] = [];
  const logged: string[] = [];
  const write = (level: string) => (_fields: object, message: string) =>
    void logged.push(`${level} ${message}`);
  const sources: Record<SlotName, HeldSource> = {
    sets: new HeldSource(sets ?? undefined),
    candidate: new HeldSource(candidate || undefined),
  };
  const slots = new PolicySlots({
    sets: sources.sets,
    ...(candidate !== false && { candidate: sources.candidate }),
    stateFile,
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    onActivated: (activation) => void activations.push(activation),
  });
  const inForce = () => slots.current()?.policyIds.join();
  const inShadow = () => slots.candidate.current()?.policyIds.join();
  const reload = (slot: SlotName, id: string): void => {
    sources[slot].held = snapshot(id);
    slots.reloaded(slot);
  };
  return { slots, sources, activations, logged, stateFile, inForce, inShadow, reload };
}

function refusalOf(run: () => unknown): PdpError {
  try {
    run();
  } catch (error) {
    if (error instanceof PdpError) return error;
  }
  throw new Error('was not refused');
}

test('the policy sets are in force, the candidate is in shadow, and the start is told', () => {
  const { slots, activations, inForce, inShadow } = open();
  expect([slots.enforced, inForce(), inShadow()]).toEqual(['sets', 'a', 'b']);
  expect(activations).toEqual([{ digest: snapshot('a').digest, slot: 'sets', by: 'start', policies: 1 }]);
});

test('promotion swaps the two, and rolling back swaps them again', () => {
  const { slots, activations, inForce, inShadow } = open();
  expect(slots.promote()).toEqual({
    digest: snapshot('b').digest,
    before: snapshot('a').digest,
    slot: 'candidate',
    by: 'promote',
    policies: 1,
  });
  expect([slots.enforced, inForce(), inShadow(), slots.previous]).toEqual([
    'candidate',
    'b',
    'a',
    snapshot('a').digest,
  ]);
  slots.rollback();
  expect([slots.enforced, inForce(), inShadow(), slots.previous]).toEqual(['sets', 'a', 'b', undefined]);
  expect(activations.map(({ by, digest, before }) => [by, digest, before])).toEqual([
    ['start', snapshot('a').digest, undefined],
    ['promote', snapshot('b').digest, snapshot('a').digest],
    ['rollback', snapshot('a').digest, snapshot('b').digest],
  ]);
});

describe('refuses, and changes nothing,', () => {
  test.each<[string, Setup, (slots: PolicySlots) => unknown, RegExp]>([
    ['to promote without a candidate slot', { candidate: false }, (slots) => slots.promote(), /no candidate/],
    [
      'to promote a candidate that is not loaded',
      { candidate: null },
      (slots) => slots.promote('x'),
      /no candidate/,
    ],
    [
      'to promote another candidate than was looked at',
      {},
      (slots) => slots.promote('sha256:0'),
      /the candidate is sha256:[0-9a-f]+, not sha256:0/,
    ],
    [
      'to promote what is in force already',
      { candidate: 'a' },
      (slots) => slots.promote(),
      /in force already/,
    ],
    ['to roll back where nothing was promoted', {}, (slots) => slots.rollback(), /nothing to roll back to/],
  ])('%s', (_what, options, run, words) => {
    const { slots, activations, inForce } = open(options);
    const { reason, message } = refusalOf(() => run(slots));
    expect(reason).toBe('policies_unavailable');
    expect(message).toMatch(words);
    expect([slots.enforced, inForce(), activations.length]).toEqual(['sets', 'a', 1]);
  });

  test('to roll back twice', () => {
    const { slots, inForce } = open();
    slots.promote();
    slots.rollback();
    expect(refusalOf(() => slots.rollback()).message).toMatch(/nothing to roll back to/);
    expect(inForce()).toBe('a');
  });

  test('to roll back to anything but what was in force', () => {
    const { slots, reload, inForce } = open();
    slots.promote();
    expect(refusalOf(() => slots.rollback('sha256:0')).message).toMatch(
      /was in force before is .*, not sha256:0/,
    );
    reload('sets', 'c');
    expect(refusalOf(() => slots.rollback()).message).toMatch(/is not loaded any more/);
    expect(inForce()).toBe('b');
  });

  test('to promote what could not be remembered', () => {
    const { slots, stateFile, inForce } = open();
    mkdirSync(stateFile, { recursive: true });
    const { reason, message } = refusalOf(() => slots.promote());
    expect([reason, message]).toEqual(['internal', expect.stringMatching(/nothing was changed/)]);
    expect([slots.enforced, inForce()]).toEqual(['sets', 'a']);
  });
});

describe('a reload', () => {
  test('of the slot in force is in force, and told once', () => {
    const { slots, reload, activations, inForce } = open();
    reload('sets', 'c');
    slots.reloaded('sets');
    expect(inForce()).toBe('c');
    expect(activations.slice(1)).toEqual([
      { digest: snapshot('c').digest, before: snapshot('a').digest, slot: 'sets', by: 'reload', policies: 1 },
    ]);
  });

  test('of the other slot changes nothing in force', () => {
    const { reload, activations, inForce, inShadow } = open();
    reload('candidate', 'c');
    expect([inForce(), inShadow(), activations.length]).toEqual(['a', 'c', 1]);
  });

  test('that brings the first policies is the start', () => {
    const { slots, reload, activations, inForce } = open({ sets: null });
    slots.reloaded('sets');
    expect([activations, inForce()]).toEqual([[], undefined]);
    reload('sets', 'd');
    expect(activations).toEqual([{ digest: snapshot('d').digest, slot: 'sets', by: 'start', policies: 1 }]);
  });

  test('is looked for in both slots', async () => {
    const { slots, sources } = open();
    await slots.reloadIfChanged();
    expect([sources.sets.looks, sources.candidate.looks]).toEqual([1, 1]);
  });
});

describe('a restart', () => {
  test('remembers a promotion, and the way back', () => {
    const { slots, stateFile } = open();
    slots.promote();
    expect(statSync(stateFile).mode & 0o777).toBe(0o600);
    const again = open({ stateFile });
    expect([again.slots.enforced, again.inForce()]).toEqual(['candidate', 'b']);
    expect(again.activations).toMatchObject([{ by: 'start', slot: 'candidate' }]);
    again.slots.rollback();
    expect(open({ stateFile }).inForce()).toBe('a');
  });

  test('puts the policy sets in force where the candidate is another one by then', () => {
    const { slots, stateFile } = open();
    slots.promote();
    const again = open({ stateFile, candidate: 'c' });
    expect([again.slots.enforced, again.inForce()]).toEqual(['sets', 'a']);
    expect(again.logged.join('\n')).toMatch(/warn the promoted candidate is not there any more/);
    expect(refusalOf(() => again.slots.rollback()).message).toMatch(/nothing to roll back to/);
  });

  test('puts the policy sets in force where there is no candidate any more', () => {
    const { slots, stateFile } = open();
    slots.promote();
    expect(open({ stateFile, candidate: false }).inForce()).toBe('a');
  });

  test('remembers a promoted candidate that was reloaded since', () => {
    const { slots, stateFile, reload } = open();
    slots.promote();
    reload('candidate', 'c');
    expect(open({ stateFile, candidate: 'c' }).inForce()).toBe('c');
  });

  test.each([
    ['no JSON', '{'],
    ['no state', 'null'],
    ['an unknown slot', '{"enforced":"other","digest":"x"}'],
    ['no digest', '{"enforced":"candidate"}'],
  ])('puts the policy sets in force where the state is %s, and says so', (_what, text) => {
    const stateFile = tempStateFile();
    mkdirSync(join(stateFile, '..'));
    writeFileSync(stateFile, text);
    const { inForce, logged } = open({ stateFile });
    expect(inForce()).toBe('a');
    expect(logged.join('\n')).toMatch(/error whether a candidate was promoted is not legible/);
  });

  test('says so where the state cannot be read', () => {
    const stateFile = tempStateFile();
    mkdirSync(stateFile, { recursive: true });
    const { inForce, logged } = open({ stateFile });
    expect(inForce()).toBe('a');
    expect(logged.join('\n')).toMatch(/error whether a candidate was promoted cannot be read/);
  });

  test('leaves no trace where nothing was ever promoted', () => {
    const { stateFile } = open();
    expect(() => readFileSync(stateFile)).toThrow(/ENOENT/);
  });
});
