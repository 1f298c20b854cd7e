import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCheckResponse } from '../../../../src/api/ext-authz/client.ts';
import { fingerprintOf } from '../../../../src/api/ext-authz/fingerprint.ts';
import { INCIDENTAL_HEADERS } from '../../../../src/api/ext-authz/incidental-headers.ts';
import { refuse } from '../../../../src/pdp/decision.ts';
import { type QuestionFingerprint, RecentAnswers } from '../../../../src/pdp/recent-answers.ts';
import { EXT_AUTHZ_TYPES, type RequestOptions, checkRequestBytes } from '../../../support/requests.ts';
import { userIdentity } from '../../pdp/decision-point.ts';
import {
  ALICE,
  SNAPSHOTS,
  START,
  type World,
  answer,
  createWorld,
  madeWhole,
  serviceIn,
} from './two-worlds.ts';

type Answered = Awaited<ReturnType<ReturnType<typeof serviceIn>['ask']>>;

/** Everything about an answer but the members of its one call, and for how long it may be kept. */
function comparable({ trace, bytes, line }: Answered, ids: readonly string[]) {
  const {
    decision_id: _id,
    cache,
    ...record
  } = JSON.parse(line) as { decision_id: string; cache?: { of?: string; like?: string } };
  const answered = decodeCheckResponse(bytes, EXT_AUTHZ_TYPES.CheckResponse);
  const text = (value: unknown) => JSON.stringify(value).replaceAll(trace.id, 'id');
  const place = (name: 'of' | 'like') => {
    const id = cache?.[name];
    return id === undefined ? {} : { [name]: ids.indexOf(id) };
  };
  const { cacheable_until: until, ...metadata } = answered.metadata;
  return {
    record: text(record),
    cache: { ...cache, ...place('of'), ...place('like') },
    answer: text({ ...answered, metadata }),
    until: Number(until ?? 0),
  };
}

const QUESTIONS = [
  { path: '/a', method: 'GET' },
  { path: '/a', method: 'GET', ip: '10.0.0.7' },
  { path: '/b', method: 'GET' },
  { path: '/a', method: 'GET', headers: [['x-flag', 'on']] as const },
] as const;
const AGENTS = ['curl', 'evil', 'firefox'] as const;

type Step = (world: World) => { readonly question: number; readonly agent: number } | undefined;

const change =
  (apply: (world: World) => void): Step =>
  (world) => {
    apply(world);
    return undefined;
  };
const fact = fc.record(
  {
    observedAt: fc.constantFrom(START - 61_000, START, START + 30_000),
    freshUntil: fc.constantFrom(START + 500, START + 40_000, START + 120_000),
    stale: fc.constant(true as const),
  },
  { requiredKeys: [] },
);
const ask: fc.Arbitrary<Step> = fc
  .record({ question: fc.nat(QUESTIONS.length - 1), agent: fc.nat(AGENTS.length - 1) })
  .map(
    (asked): Step =>
      () =>
        asked,
  );
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: ask, weight: 60 },
  fc.constantFrom(1, 499, 30_000, 61_000).map((ms) => change((world) => void (world.now += ms))),
  fc.nat(4).map((snapshot) => change((world) => void (world.snapshot = snapshot))),
  fc
    .constantFrom(
      ALICE,
      { ...ALICE },
      userIdentity('alice', { deviceId: 'mdm/laptop' }),
      userIdentity('bert'),
      undefined,
      refuse('token_expired'),
    )
    .map((user) => change((world) => void (world.user = user))),
  fc
    .tuple(fc.boolean(), fact)
    .map(([revoked, more]) => change((world) => void (world.directory = answer({ revoked }, more)))),
  fc.constant(change((world) => void (world.directory = 'down'))),
  fc
    .tuple(fc.constantFrom({}, { revoked: true }), fact)
    .map(([said, more]) => change((world) => void (world.event = answer(said, more)))),
  fc
    .tuple(fc.constantFrom('low', 'high'), fact)
    .map(([risk, more]) => change((world) => void (world.device = answer({ risk }, more)))),
  fc.boolean().map((revoked) => change((world) => void (world.revoked = revoked))),
  fc.boolean().map((current) => change((world) => void (world.current = current))),
  fc.constantFrom('envoy', 'gateway').map((pep) => change((world) => void (world.pep = pep))),
  fc.boolean().map((looks) => change((world) => void (world.looksAtAgent = looks))),
);

const BACK = fc.constantFrom(1000, 40_000, 100_000).map((ms) => change((world) => void (world.now -= ms)));

/** Asks a service that remembers answers and one that does not; how many answers were given again. */
async function compare(
  steps: readonly Step[],
  only: (one: Comparable) => Partial<Comparable>,
): Promise<number> {
  const world = createWorld();
  const [fast, full] = [serviceIn(world, true), serviceIn(world, false)];
  let reused = 0;
  for (const [index, take] of steps.entries()) {
    const asked = take(world);
    if (!asked) continue;
    const message = messageOf(asked, index);
    const [one, other] = [await fast.ask(message), await full.ask(message)];
    const a = comparable(
      one,
      fast.traces.map(({ id }) => id),
    );
    const b = comparable(
      other,
      full.traces.map(({ id }) => id),
    );
    expect(only(a)).toEqual(only(b));
    expect(a.until).toBeLessThanOrEqual(b.until);
    expect({ bytes: one.bytes, line: one.line }).toEqual(madeWhole(one.trace));
    if (one.trace.recent) reused += 1;
  }
  return reused;
}

type Comparable = ReturnType<typeof comparable>;

function messageOf({ question, agent }: { question: number; agent: number }, index: number): Buffer {
  const { headers = [], ...asked }: RequestOptions = QUESTIONS[question] ?? {};
  const incidental = [
    ['user-agent', AGENTS[agent] ?? ''],
    ['x-request-id', `r-${index}`],
  ] as const;
  return checkRequestBytes({ ...asked, headers: [...headers, ...incidental] });
}

describe('an answer that was given before', () => {
  const stepsOf = (one: fc.Arbitrary<Step>) => fc.array(one, { minLength: 10, maxLength: 60 });

  test('is what a new decision would be, recorded and encoded alike, whatever has happened since', async () => {
    let reused = 0;
    const property = fc.asyncProperty(stepsOf(step), async (steps) => {
      reused += await compare(steps, ({ until: _until, ...all }) => all);
    });
    await fc.assert(property, { numRuns: 80 });
    expect(reused).toBeGreaterThan(200);
  });

  test('is what a new decision would be, also where the clock goes back', async () => {
    const either = fc.oneof({ arbitrary: step, weight: 9 }, BACK);
    // Which of the caches an entry has gone from by then, and how old it is, is no part of the answer.
    const property = fc.asyncProperty(stepsOf(either), async (steps) => {
      await compare(steps, ({ answer: said }) => ({ answer: said }));
    });
    await fc.assert(property, { numRuns: 80 });
  });
});

describe('an answer is not given again', () => {
  /** Asks until the answer is remembered, changes something, and asks once more. */
  async function after(apply: (world: World) => void, before: (world: World) => void = () => undefined) {
    const world = createWorld();
    before(world);
    const { ask } = serviceIn(world, true);
    const message = checkRequestBytes({ path: '/a', method: 'GET', headers: [['user-agent', 'curl']] });
    for (let times = 0; times < 3; times++) await ask(message);
    const remembered = (await ask(message)).trace;
    apply(world);
    const evil = checkRequestBytes({ path: '/a', method: 'GET', headers: [['user-agent', 'evil']] });
    const { trace } = await ask(evil);
    return { remembered, trace };
  }

  test.each<[string, (world: World) => void]>([
    ['under another snapshot', (world) => void (world.snapshot = 1)],
    ['under a snapshot that looks at an incidental header', (world) => void (world.snapshot = 2)],
    ['where an authenticator looks at an incidental header now', (world) => void (world.looksAtAgent = true)],
    ['to another token of the same user', (world) => void (world.user = userIdentity('alice'))],
    ['to nobody any more', (world) => void (world.user = undefined)],
    ['through another PEP', (world) => void (world.pep = 'gateway')],
    ['who is revoked', (world) => void (world.revoked = true)],
    ['while changes may have been missed', (world) => void (world.current = false)],
    ['after a minute', (world) => void (world.now += 60_000)],
    ['with a clock that went back', (world) => void (world.now -= 1)],
    ['where a fact is another', (world) => void (world.directory = answer({ revoked: false }))],
    ['where a source is down', (world) => void (world.directory = 'down')],
    [
      'where a fact is only good for less',
      (world) => {
        if (world.directory !== 'down') world.directory = { ...world.directory, freshUntil: START + 100 };
      },
    ],
    ['where an event has spoken', (world) => void (world.event = answer({ revoked: true }, { event: true }))],
    [
      'where the silence of a source is shorter',
      (world) => void (world.event = answer({}, { freshUntil: START + 100 })),
    ],
  ])('%s', async (_what, apply) => {
    const { remembered, trace } = await after(apply);
    expect(remembered.recent).toBeDefined();
    expect(trace.recent).toBeUndefined();
  });

  test.each<[string, (world: World) => void]>([
    ['by a snapshot that reads the clock', (world) => void (world.snapshot = 4)],
    ['by a snapshot that looks at an incidental header', (world) => void (world.snapshot = 2)],
    ['by an authenticator that looks at an incidental header', (world) => void (world.looksAtAgent = true)],
    [
      'on a fact from the future',
      (world) => void (world.directory = answer({ revoked: false }, { observedAt: START + 1 })),
    ],
    ['on a stale fact', (world) => void (world.directory = answer({ revoked: false }, { stale: true }))],
    ['while a source is down', (world) => void (world.directory = 'down')],
    [
      'on a proof of possession',
      (world) => void (world.user = userIdentity('alice', { confirmation: { key: 'k' } })),
    ],
  ])('that was decided %s', async (_what, before) => {
    expect((await after(() => undefined, before)).remembered.recent).toBeUndefined();
  });

  test('where an authenticator looks at an incidental header, which is the one of this question', async () => {
    const { trace } = await after((world) => void (world.looksAtAgent = true));
    expect(trace.decision).toMatchObject({ reason: 'workload_evidence_invalid' });
    expect(trace.request?.http.headers.values('user-agent')).toEqual(['evil']);
  });

  test('by another snapshot, whose bindings see the header fields of this question', async () => {
    const { trace } = await after((world) => void (world.snapshot = 2));
    expect(trace.route).toBeUndefined();
  });
});

test('a permit that cannot be completed is recorded and answered as the deny that it is, though it was given before', async () => {
  let problem = false;
  const onward = {
    header: 'x-identity',
    sign: () => (problem ? refuse('internal', 'no key') : 'signed'),
    jwks: () => ({ keys: [] }),
    problem: () => undefined,
  };
  const { ask } = serviceIn(createWorld(), true, { onward });
  const message = checkRequestBytes({ path: '/a', method: 'GET' });
  for (let times = 0; times < 4; times++) await ask(message);
  const permitted = await ask(message);
  problem = true;
  const denied = await ask(message);
  problem = false;
  const after = await ask(message);
  expect(permitted.trace.recent).toBeDefined();
  expect(
    [permitted, denied, after].map(({ line }) => (JSON.parse(line) as { decision: string }).decision),
  ).toEqual(['ALLOW', 'DENY', 'ALLOW']);
  expect(decodeCheckResponse(denied.bytes, EXT_AUTHZ_TYPES.CheckResponse)).toMatchObject({ allowed: false });
});

/** An answer that may be remembered, and what it is remembered by. */
function printOf(message: Uint8Array): QuestionFingerprint {
  const print = fingerprintOf(message);
  if (!print) throw new Error('it has no fingerprint');
  return print;
}

/** Another question's, the nth of them. */
const other = ({ key, sum }: QuestionFingerprint, n: number): QuestionFingerprint => ({
  key: `${key}${n}`,
  sum: sum + n,
});

async function rememberable(path: string) {
  const { ask, traces } = serviceIn(createWorld(), true);
  const message = checkRequestBytes({ path, method: 'GET' });
  for (let times = 0; times < 2; times++) await ask(message);
  const trace = traces.at(-1);
  if (!trace?.cedar) throw new Error('nothing was evaluated');
  return { print: printOf(message), trace, cedar: trace.cedar };
}

test('the age of what is given again counts from the evaluation, however long the question waited for facts', async () => {
  const { print, trace } = await rememberable('/a');
  const remembered = new RecentAnswers(64 * 1024, INCIDENTAL_HEADERS);
  const cache = { hit: true, of: 'd-1', ageMs: 100 } as const;
  remembered.set(print, { ...trace, receivedAt: START + 1000, latencyUs: 500_300, cache });
  expect(remembered.get(print)?.evaluatedAt).toBe(START + 1400);
});

test('what was decided by policies that are not in force any more is let go, whether or not it is asked again', async () => {
  const { print, trace } = await rememberable('/a');
  const remembered = new RecentAnswers(64 * 1024, INCIDENTAL_HEADERS);
  const [first, second] = [other(print, 1), other(print, 2)];
  remembered.set(first, trace);
  remembered.set(second, trace);
  expect([first, second].map((one) => remembered.get(one))).not.toContain(undefined);
  const [, snapshot] = SNAPSHOTS;
  if (snapshot) remembered.set(second, { ...trace, snapshot });
  expect(remembered.get(first)).toBeUndefined();
  expect(remembered.get(second)?.evaluated.snapshot).toBe(snapshot);
});

test('a question whose key has the same checksum is another question', async () => {
  const { print, trace } = await rememberable('/a');
  const remembered = new RecentAnswers(64 * 1024, INCIDENTAL_HEADERS);
  const twin = { key: `${print.key}x`, sum: print.sum };
  remembered.set(print, trace);
  expect(remembered.get(twin)).toBeUndefined();
  expect(remembered.get(print)).toBeDefined();
  remembered.set(twin, trace);
  expect(remembered.get(twin)).toBeDefined();
  expect(remembered.get(print)).toBeUndefined();
});

test('what is remembered keeps within its bytes, also where far more is known than was asked', async () => {
  const { print, trace, cedar } = await rememberable('/a');
  const parents = Array.from({ length: 500 }, (_, n) => ({ type: 'ZeroTrust::Group', id: `group-${n}` }));
  const uid = cedar.principal;
  const wide = { ...trace, cedar: { ...cedar, entities: [{ uid, attrs: {}, parents }] } };
  const kept = (one: typeof trace): number => {
    const remembered = new RecentAnswers(256 * 1024, INCIDENTAL_HEADERS);
    for (let n = 0; n < 50; n++) remembered.set(other(print, n), one);
    return Array.from({ length: 50 }, (_, n) => remembered.get(other(print, n))).filter(Boolean).length;
  };
  expect(kept(trace)).toBeGreaterThan(10);
  // Some 60 KiB each, as measured.
  expect(kept(wide)).toBeLessThan(5);
});

test('what is remembered keeps within its bytes', async () => {
  const remembered = new RecentAnswers(64 * 1024, INCIDENTAL_HEADERS);
  const { ask, traces } = serviceIn(createWorld(), true);
  const prints: QuestionFingerprint[] = [];
  for (let index = 0; index < 50; index++) {
    const message = checkRequestBytes({ path: `/a/${index}`, method: 'GET' });
    for (let times = 0; times < 2; times++) await ask(message);
    const [print, trace] = [printOf(message), traces.at(-1)];
    if (trace) remembered.set(print, trace);
    prints.push(print);
  }
  const kept = prints.filter((print) => remembered.get(print));
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(9);
  expect(kept).toContain(prints.at(-1));
});
