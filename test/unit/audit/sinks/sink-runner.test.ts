import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Committed } from '../../../../src/audit/log/commit-position.ts';
import { segmentName } from '../../../../src/audit/log/segments.ts';
import { CursorFile } from '../../../../src/audit/sinks/cursor-file.ts';
import { LogTail } from '../../../../src/audit/sinks/log-tail.ts';
import { DeliveryError, type LogLine, type Sink } from '../../../../src/audit/sinks/sink.ts';
import { SinkFigures } from '../../../../src/audit/sinks/sink-figures.ts';
import { SinkRunner } from '../../../../src/audit/sinks/sink-runner.ts';
import type { DeliveryRules } from '../../../../src/audit/sinks/sink-settings.ts';
import { eventually } from '../../../support/eventually.ts';

const RULES: DeliveryRules = {
  name: 'siem',
  from: 'start',
  maxRecords: 4,
  maxBytes: 100_000,
  maxWaitMs: 5,
  timeoutMs: 50,
  retryMinMs: 1,
  retryMaxMs: 5,
};

/** A runner over a log of so many lines, whose sink does what the test says. */
class Running {
  readonly dir = mkdtempSync(join(tmpdir(), 'pdp-runner-'));
  readonly delivered: LogLine[] = [];
  readonly said: { readonly level: string; readonly text: string }[] = [];
  closes = 0;
  committed: Committed = { segment: -1, lineBytes: 0, packBytes: 0, nextIndex: 0 };
  deliver: (lines: readonly LogLine[]) => Promise<void> = () => Promise.resolve();
  readonly #figures = new SinkFigures(['siem']);
  #runner: SinkRunner | undefined;
  #run: Promise<void> | undefined;

  constructor() {
    onTestFinished(async () => {
      await this.drain(0);
      rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
    });
  }

  write(first: number, count: number): void {
    const lines = Array.from({ length: count }, (_, at) =>
      JSON.stringify({ kind: 'boot', index: first + at }),
    );
    const bytes = `${lines.join('\n')}\n`;
    writeFileSync(join(this.dir, segmentName(first)), bytes);
    this.committed = { segment: first, lineBytes: bytes.length, packBytes: 0, nextIndex: first + count };
  }

  cursorFile(text: string): void {
    mkdirSync(join(this.dir, 'cursors'), { recursive: true });
    writeFileSync(join(this.dir, 'cursors/siem.json'), text);
  }

  get cursor(): number {
    return Number(JSON.parse(readFileSync(join(this.dir, 'cursors/siem.json'), 'utf8')).index);
  }

  start(rules: Partial<DeliveryRules> = {}): void {
    const committed = () => this.committed;
    const say = (level: string) => (fields: object, message: string) =>
      void this.said.push({ level, text: `${message} ${JSON.stringify(fields)}` });
    const sink: Sink = {
      deliver: async (lines) => {
        await this.deliver(lines);
        this.delivered.push(...lines);
      },
      close: () => {
        this.closes += 1;
        return Promise.resolve();
      },
    };
    this.#runner = new SinkRunner({
      log: 'example.com/log',
      rules: { ...RULES, ...rules },
      sink,
      tail: new LogTail(this.dir, committed),
      cursor: new CursorFile(this.dir, 'siem'),
      committed,
      figure: this.#figures.of('siem'),
      logger: { info: say('info'), warn: say('warn'), error: say('error') },
    });
    this.#run = this.#runner.run();
  }

  async drain(ms: number): Promise<void> {
    this.#runner?.drain(ms);
    await this.#run;
  }

  async until(count: number): Promise<void> {
    await eventually(`${count} are delivered`, () => (this.delivered.length >= count ? true : undefined));
  }

  get report() {
    return this.#figures.report(this.committed.nextIndex)[0];
  }

  get indexes(): readonly number[] {
    return this.delivered.map(({ index }) => index);
  }
}

const upTo = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

describe('a sink', () => {
  test('gets every record in order, in batches, and its cursor follows', async () => {
    const running = new Running();
    running.write(0, 10);
    const sizes: number[] = [];
    running.deliver = (lines) => Promise.resolve(void sizes.push(lines.length));
    running.start();
    await running.drain(1000);
    expect(running.indexes).toEqual(upTo(0, 10));
    expect(sizes).toEqual([4, 4, 2]);
    expect(running.cursor).toBe(10);
    expect(running.report).toEqual({
      name: 'siem',
      lag: 0,
      delivered: 10,
      failures: 0,
      lost: 0,
      oversized: 0,
    });
  });

  test('keeps its cursor on disk where the delivery is, never before', async () => {
    const running = new Running();
    running.write(0, 8);
    const seen: number[] = [];
    running.deliver = () => Promise.resolve(void seen.push(running.cursor));
    running.start();
    await running.drain(1000);
    expect(seen).toEqual([0, 4]);
  });

  test('is tried again after each failure with a fresh connection, and says so once', async () => {
    const running = new Running();
    running.write(0, 2);
    let failures = 0;
    running.deliver = () =>
      ++failures <= 5
        ? Promise.reject(new Error('connect to nats://me:secret@host failed'))
        : Promise.resolve();
    running.start();
    await running.until(2);
    await running.drain(1000);
    expect(running.indexes).toEqual([0, 1]);
    expect(running.closes).toBeGreaterThanOrEqual(5);
    expect(running.report?.failures).toBe(5);
    const texts = running.said.map(({ text }) => text);
    expect(texts.filter((text) => text.includes('does not deliver'))).toHaveLength(1);
    expect(texts.filter((text) => text.includes('delivers again'))).toHaveLength(1);
    expect(texts.join()).not.toContain('secret');
  });

  test('that hangs is given up after its timeout and tried again', async () => {
    const running = new Running();
    running.write(0, 1);
    let tries = 0;
    running.deliver = () => (++tries === 1 ? new Promise(() => undefined) : Promise.resolve());
    running.start();
    await running.until(1);
    expect(running.said[0]?.text).toContain('no confirmation within 50 ms');
  });

  test('that hangs at the end holds it up no longer than allowed, and the next run delivers the rest', async () => {
    const running = new Running();
    running.write(0, 3);
    running.deliver = () => new Promise(() => undefined);
    running.start({ timeoutMs: 60_000 });
    await running.drain(20);
    expect(running.delivered).toEqual([]);
    running.deliver = () => Promise.resolve();
    running.start();
    await running.drain(1000);
    expect(running.indexes).toEqual([0, 1, 2]);
  });

  test('goes on where the last run ended', async () => {
    const running = new Running();
    running.write(0, 5);
    running.cursorFile('{"index":3}\n');
    running.start();
    await running.drain(1000);
    expect(running.indexes).toEqual([3, 4]);
  });

  test('that is new begins with the next record where it is told to', async () => {
    const running = new Running();
    running.write(0, 5);
    running.start({ from: 'now' });
    await eventually('it has a cursor', () => (running.report?.lag === 0 ? true : undefined));
    running.write(5, 2);
    await running.until(2);
    expect(running.indexes).toEqual([5, 6]);
  });

  test('that is new loses nothing where the log begins later', async () => {
    const running = new Running();
    running.write(7, 2);
    running.start();
    await running.drain(1000);
    expect([running.indexes, running.report?.lost]).toEqual([[7, 8], 0]);
  });

  test('says which records were removed before it could deliver them', async () => {
    const running = new Running();
    running.write(7, 2);
    running.cursorFile('{"index":4}');
    running.start();
    await running.drain(1000);
    expect([running.indexes, running.report?.lost]).toEqual([[7, 8], 3]);
    expect(running.said[0]).toMatchObject({ level: 'error' });
    expect(running.said[0]?.text).toContain('"first":4,"last":6');
  });

  test('delivers everything again where its cursor makes no sense', async () => {
    for (const text of ['', '{', '{"index":-1}', '{"index":1.5}', '[]']) {
      const running = new Running();
      running.write(0, 2);
      running.cursorFile(text);
      running.start({ from: 'now' });
      await running.drain(1000);
      expect(running.indexes).toEqual([0, 1]);
      expect(running.said[0]?.text).toContain('cannot be read');
    }
  });

  test('delivers the newest segment again where the log lost what was delivered', async () => {
    const running = new Running();
    running.write(0, 3);
    running.cursorFile('{"index":9}');
    running.start();
    await running.drain(1000);
    expect(running.indexes).toEqual([0, 1, 2]);
    expect(running.said[0]).toMatchObject({ level: 'error' });
  });

  test('gets less at once where it says that it is too much, and a stub for what is too long alone', async () => {
    const running = new Running();
    running.write(0, 6);
    const long = JSON.stringify({ kind: 'decision', index: 6, text: 'x'.repeat(2000) });
    const path = join(running.dir, segmentName(0));
    writeFileSync(path, `${readFileSync(path, 'utf8')}${long}\n`);
    running.committed = { ...running.committed, lineBytes: readFileSync(path).length, nextIndex: 7 };
    running.deliver = (lines) => {
      const size = lines.reduce((sum, { bytes }) => sum + bytes.length, 0);
      return size > 250 || lines.length > 2
        ? Promise.reject(new DeliveryError('too_large', 'too much'))
        : Promise.resolve();
    };
    running.start();
    await running.drain(2000);
    expect(running.indexes).toEqual(upTo(0, 7));
    expect(JSON.parse(running.delivered[6]?.bytes.toString() ?? '')).toMatchObject({
      v: 1,
      kind: 'decision',
      log: 'example.com/log',
      index: 6,
      oversized: true,
      bytes: long.length,
    });
    expect([running.report?.oversized, running.report?.failures]).toEqual([1, 0]);
  });

  test('that takes not even a stub is tried for ever, loudly', async () => {
    const running = new Running();
    running.write(0, 1);
    let tries = 0;
    running.deliver = () => {
      tries += 1;
      return Promise.reject(new DeliveryError('too_large', 'too much'));
    };
    running.start();
    await eventually('it is tried again', () => (tries > 3 ? true : undefined));
    expect(running.said[0]).toMatchObject({ level: 'error' });
    expect(running.delivered).toEqual([]);
  });

  test('goes on delivering while its cursor cannot be written, and writes it when it can', async () => {
    const running = new Running();
    running.write(0, 3);
    writeFileSync(join(running.dir, 'cursors'), 'in the way');
    running.start();
    await eventually('it is said', () => (running.said.length > 0 ? true : undefined));
    rmSync(join(running.dir, 'cursors'));
    await running.until(3);
    await running.drain(1000);
    expect(running.cursor).toBe(3);
    expect(new Set(running.indexes)).toEqual(new Set([0, 1, 2]));
  });
});
