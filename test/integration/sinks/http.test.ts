import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { Receiver } from './receivers.ts';
import { LOG, LOOPBACK_NAME, RunningLog, quickSink } from './running-log.ts';

function target(receiver: Receiver, scheme = 'http') {
  const url = `${scheme}://127.0.0.1:${receiver.port}/logs`;
  return { kind: 'http', url, headers: { 'x-team': 'sec' }, headerFiles: [] } as const;
}

/** Lines of all requests that were taken, by index; throws where one index came with two different lines. */
function linesTaken(receiver: Receiver): Map<number, string> {
  const lines = new Map<number, string>();
  for (const { body, headers } of receiver.taken) {
    const batch = body.split('\n').slice(0, -1);
    const indexes = batch.map((line) => JSON.parse(line).index as number);
    expect(headers['idempotency-key']).toBe(`${LOG}/${indexes[0]}-${indexes.at(-1)}`);
    for (const [at, line] of batch.entries()) {
      const index = indexes[at] ?? -1;
      expect(lines.get(index) ?? line).toBe(line);
      lines.set(index, line);
    }
  }
  return lines;
}

describe('the decision log in batches over HTTP', () => {
  test('misses no record while receiver and process are killed in turn, and what comes twice is identical', async () => {
    await using receiver = new Receiver();
    await receiver.start();
    const log = new RunningLog(quickSink('http', target(receiver)));
    for (let round = 0; round < 3; round++) {
      await log.start();
      await log.delivered('http', 100);
      await receiver.stop();
      await log.written(100);
      await receiver.start();
      await log.delivered('http', 200);
      await log.kill();
    }
    await log.start(0, 60_000);
    expect(await log.stop()).toBe(0);
    const taken = linesTaken(receiver);
    expect(log.lines().map((line, index) => (taken.get(index) === line ? 'same' : line))).toEqual(
      log.lines().map(() => 'same'),
    );
    expect(taken.size).toBe(log.lines().length);
    expect(receiver.taken[0]?.headers).toMatchObject({
      'x-team': 'sec',
      'content-type': 'application/x-ndjson',
    });
  });

  test('is tried again where the receiver takes the request and never answers', async () => {
    await using receiver = new Receiver();
    await receiver.start();
    receiver.answer = () => undefined;
    const log = new RunningLog(quickSink('http', target(receiver), { timeoutMs: 100 }));
    await log.start();
    await eventually('a second try', () => (receiver.received.length > 1 ? true : undefined));
    expect(log.cursor('http')).toBe(0);
    receiver.answer = () => 200;
    await log.delivered('http', 50);
    expect(await log.stop()).toBe(0);
    expect(linesTaken(receiver).size).toBe(log.lines().length);
    expect(log.output).toContain('no confirmation within 100 ms');
  });

  test.each([400, 401, 404, 302])('is not dropped where the receiver refuses it with %i', async (status) => {
    await using receiver = new Receiver();
    await receiver.start();
    receiver.answer = () => status;
    const log = new RunningLog(quickSink('http', target(receiver)));
    await log.start();
    await eventually('a second try', () => (receiver.received.length > 1 ? true : undefined));
    receiver.answer = () => 202;
    expect(await log.stop()).toBe(0);
    expect(linesTaken(receiver).size).toBe(log.lines().length);
    expect(log.output).toContain(`the server answered ${status}`);
  });

  test('comes in smaller batches where the receiver answers 413', async () => {
    await using receiver = new Receiver();
    await receiver.start();
    receiver.answer = ({ body }) => (body.length > 1200 ? 413 : 200);
    const log = new RunningLog(quickSink('http', target(receiver)));
    await log.start(50);
    await log.delivered('http', 200);
    expect(await log.stop()).toBe(0);
    const indexes = receiver.taken.flatMap(({ body }) =>
      body
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).index as number),
    );
    expect(indexes).toEqual(log.lines().map((_, index) => index));
  });

  test('goes on to one receiver while another is dead, hangs or refuses', async () => {
    await using good = new Receiver();
    await using hanging = new Receiver();
    await using refusing = new Receiver();
    for (const receiver of [good, hanging, refusing]) await receiver.start();
    hanging.answer = () => undefined;
    refusing.answer = () => 403;
    const dead = { ...target(good), url: 'http://127.0.0.1:9/logs' };
    const log = new RunningLog(
      quickSink('good', target(good)),
      quickSink('hanging', target(hanging)),
      quickSink('refusing', target(refusing)),
      quickSink('dead', dead),
    );
    await log.start(5, 300);
    await log.delivered('good', 1000);
    expect([log.cursor('hanging'), log.cursor('refusing'), log.cursor('dead')]).toEqual([0, 0, 0]);
    const stopped = performance.now();
    expect(await log.stop()).toBe(0);
    expect(performance.now() - stopped).toBeLessThan(5000);
    expect(linesTaken(good).size).toBeGreaterThanOrEqual(log.cursor('good'));
    expect(log.output).toContain('the next run goes on there');
  });

  test('goes over mutual TLS with a bearer token that is read again', async () => {
    await using ca = await createTestCa('http.test');
    const server = await ca.issue({ spiffeId: 'spiffe://http.test/server', names: [LOOPBACK_NAME] });
    const client = await ca.issue({ spiffeId: 'spiffe://http.test/pdp' });
    await using receiver = new Receiver({ cert: server.cert, key: server.key, ca: ca.bundle });
    await receiver.start();
    receiver.answer = ({ headers }) => (headers.authorization === 'Bearer fresh' ? 200 : 401);
    const tokenFile = `${client.certFile}.token`;
    writeFileSync(tokenFile, 'stale\n');
    const files = { caFile: ca.bundleFile, certFile: client.certFile, keyFile: client.keyFile, tokenFile };
    const log = new RunningLog(quickSink('http', { ...target(receiver, 'https'), ...files }));
    await log.start();
    await eventually('it is refused', () => (receiver.received.length > 0 ? true : undefined));
    writeFileSync(tokenFile, 'fresh\n');
    await log.delivered('http', 50);
    expect(await log.stop()).toBe(0);
    expect(log.output).not.toMatch(/stale|fresh/);
  });
});
