import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type TestTransmitter, TRANSMITTER_TOKEN, startTransmitter } from '../../support/ssf-transmitter.ts';
import { openTestStream } from './fixture.ts';

const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';

const polled = (transmitter: TestTransmitter, more: object = {}) =>
  ({
    delivery: {
      method: 'poll',
      url: transmitter.pollUrl,
      maxEvents: 5,
      intervalMs: 0,
      timeoutMs: 5000,
      ...more,
    },
  }) as const;

async function enqueue(transmitter: TestTransmitter, ...ids: readonly string[]): Promise<void> {
  for (const jti of ids) {
    const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: jti };
    transmitter.enqueue(jti, await transmitter.set(REVOKED, {}, subject, { jti }));
  }
}

function isDone(transmitter: TestTransmitter): true | undefined {
  return transmitter.waiting().length === 0 || undefined;
}

function polls(transmitter: TestTransmitter) {
  return transmitter.asked.filter(({ url }) => url === '/poll');
}

describe('a stream that is polled', () => {
  test.each([
    ['by long polls', 0],
    ['at an interval', 50],
  ])('%s has its effects, and then is acknowledged', async (_what, intervalMs) => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, polled(transmitter, { intervalMs }));
    test.stream.start();
    await enqueue(transmitter, 'a', 'b');
    await eventually('everything is acknowledged', () => isDone(transmitter));
    expect(test.applied.map((effect) => effect.effect)).toEqual(['void_before', 'void_before']);
    expect(transmitter.errors.size).toBe(0);
    expect(polls(transmitter)[0]?.body).toEqual({ maxEvents: 5, returnImmediately: intervalMs > 0 });
    expect(test.stream.warnings()).toEqual([]);
    expect(test.stream.report()).toMatchObject({ delivery: 'poll', problems: [] });
  });

  test('gets more than fits into one answer at once', async () => {
    await using transmitter = await startTransmitter();
    await enqueue(transmitter, ...Array.from({ length: 12 }, (_, index) => `set-${index}`));
    await using test = await openTestStream(transmitter, polled(transmitter, { intervalMs: 60_000 }));
    test.stream.start();
    await eventually('everything is acknowledged', () => isDone(transmitter));
    expect(test.applied).toHaveLength(12);
  });

  test.each([
    ['says that there is more and tells nothing', async () => ({})],
    [
      'tells again what was answered',
      async (transmitter: TestTransmitter) => {
        const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: 'alice' };
        return { again: await transmitter.set(REVOKED, {}, subject, { jti: 'again' }) };
      },
    ],
  ])('does not hammer a transmitter that %s', async (_what, setsOf) => {
    await using transmitter = await startTransmitter();
    const body = JSON.stringify({ sets: await setsOf(transmitter), moreAvailable: true });
    transmitter.instead = ({ url }) => (url === '/poll' ? { status: 200, body } : undefined);
    await using test = await openTestStream(transmitter, polled(transmitter));
    const since = performance.now();
    test.stream.start();
    await eventually('half a second has passed', () => performance.now() - since > 500 || undefined);
    expect(polls(transmitter).length).toBeGreaterThan(1);
    expect(polls(transmitter).length).toBeLessThan(8);
  });

  test('has one request under way at a time', async () => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    await eventually('a poll is held', () => polls(transmitter).length > 0 || undefined);
    const before = polls(transmitter).length;
    await enqueue(transmitter, 'a');
    await eventually('the event is acknowledged', () => isDone(transmitter));
    expect(polls(transmitter).length).toBeLessThanOrEqual(before + 3);
  });

  test('says of each SET that it refuses why, and takes the others', async () => {
    await using transmitter = await startTransmitter();
    const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: 'alice' };
    transmitter.enqueue('no-set', 'x.y.z');
    transmitter.enqueue(
      'for-others',
      await transmitter.set(REVOKED, {}, subject, { jti: 'for-others', aud: 'x' }),
    );
    transmitter.enqueue('renamed', await transmitter.set(REVOKED, {}, subject, { jti: 'other' }));
    await enqueue(transmitter, 'good');
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    await eventually('everything is answered', () => isDone(transmitter));
    expect(Object.fromEntries(transmitter.errors)).toEqual({
      'no-set': { err: 'invalid_request', description: expect.any(String) },
      'for-others': { err: 'invalid_audience', description: expect.any(String) },
      renamed: { err: 'invalid_request', description: expect.any(String) },
    });
    expect(test.applied).toContainEqual(
      expect.objectContaining({ subjects: [{ kind: 'user', id: 'idp/good' }] }),
    );
  });

  test('acknowledges nothing that is not durable, and gets it again', async () => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.effects.fails = true;
    await enqueue(transmitter, 'a');
    test.stream.start();
    await eventually('it is said', () => (test.stream.warnings().length > 0 ? true : undefined));
    expect(transmitter.waiting()).toEqual(['a']);
    expect(transmitter.errors.size).toBe(0);
    test.effects.fails = false;
    await eventually('it is acknowledged', () => isDone(transmitter));
    expect(test.applied).toHaveLength(1);
    await eventually('it works again', () => test.stream.warnings().length === 0 || undefined);
  });

  test('is asked again after the transmitter failed, with what it is owed', async () => {
    await using transmitter = await startTransmitter();
    let failures = 0;
    transmitter.instead = ({ url, body }) => {
      // The acknowledgement is lost once.
      if (url !== '/poll' || body['ack'] === undefined || failures > 0) return undefined;
      failures += 1;
      return { status: 500 };
    };
    await enqueue(transmitter, 'a');
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    await eventually('it is acknowledged', () => isDone(transmitter));
    expect(test.applied).toHaveLength(1);
    expect(polls(transmitter).filter(({ body }) => body['ack'] !== undefined)).toHaveLength(2);
  });

  test('waits as long as the transmitter wants', async () => {
    await using transmitter = await startTransmitter();
    const times: number[] = [];
    transmitter.instead = ({ url }) => {
      if (url !== '/poll') return undefined;
      times.push(performance.now());
      return times.length === 1 ? { status: 429, headers: { 'retry-after': '1' } } : undefined;
    };
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    await eventually('it is asked again', () => times.length > 1 || undefined);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(990);
    await eventually('all is well', () => test.stream.warnings().length === 0 || undefined);
  });

  test.each([
    ['that is no JSON', { status: 200, body: '<html>' }, 'not JSON'],
    ['that is an array', { status: 200, body: '[]' }, 'not a JSON object'],
    ['whose sets are a list', { status: 200, body: '{"sets":[]}' }, "'sets'"],
    ['without permission', { status: 403, body: 'secret-canary' }, 'status 403'],
    ['that sends it elsewhere', { status: 302, headers: { location: 'https://x' } }, 'status 302'],
  ])('says in words what is wrong with an answer %s', async (_what, answer, words) => {
    await using transmitter = await startTransmitter();
    transmitter.instead = ({ url }) => (url === '/poll' ? answer : undefined);
    await using test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    const [warning] = await eventually('it warns', () => {
      const warnings = test.stream.warnings();
      return warnings.some((text) => text.includes('transmitter ')) ? warnings : undefined;
    });
    expect(warning).toContain(words);
    expect(test.log.text()).not.toContain('canary');
  });

  test('uses a token that was changed', async () => {
    await using transmitter = await startTransmitter();
    await using test = await openTestStream(transmitter, polled(transmitter));
    await writeFile(test.tokenFile, 'an-old-token');
    test.stream.start();
    await eventually('it is refused', () => test.stream.warnings().length > 0 || undefined);
    await writeFile(test.tokenFile, TRANSMITTER_TOKEN);
    await enqueue(transmitter, 'a');
    await eventually('the event is acknowledged', () => isDone(transmitter));
    expect(test.log.text()).not.toContain('canary');
  });

  test('by two replicas has each effect once, or twice in the same instant, and nothing is left', async () => {
    await using transmitter = await startTransmitter();
    await using first = await openTestStream(transmitter, polled(transmitter));
    await using second = await openTestStream(transmitter, polled(transmitter), first.state);
    const ids = Array.from({ length: 10 }, (_, index) => `set-${index}`);
    for (const { stream } of [first, second]) stream.start();
    await enqueue(transmitter, ...ids);
    await eventually('everything is acknowledged', () => isDone(transmitter));
    expect(transmitter.errors.size).toBe(0);
    const applied = [...first.applied, ...second.applied].flatMap((effect) =>
      'subjects' in effect ? effect.subjects : [],
    );
    expect(new Set(applied.map(({ id }) => id))).toEqual(new Set(ids.map((id) => `idp/${id}`)));
  });

  test('ends at once while a poll is held', async () => {
    await using transmitter = await startTransmitter();
    transmitter.instead = () => undefined;
    const test = await openTestStream(transmitter, polled(transmitter));
    test.stream.start();
    await eventually('a poll is held', () => polls(transmitter).length > 0 || undefined);
    const start = performance.now();
    await test[Symbol.asyncDispose]();
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
